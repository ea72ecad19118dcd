use std::env;

use httptime::Url;

/// The proxy that the environment names for the server, with curl's rules: `http_proxy` (lower case
/// only, because a web server turns a client's `Proxy` header into `HTTP_PROXY`), or `https_proxy`
/// in either case for an `https` URL, otherwise `all_proxy` in either case, unless `no_proxy` in
/// either case lists the host.
pub(crate) fn proxy_for(server: &Url) -> Option<(String, &'static str)> {
    let first = |names: &[&'static str]| {
        let mut values = names.iter().filter_map(|name| Some((env::var(name).ok()?, *name)));
        values.find(|(value, _)| !value.is_empty())
    };
    let proxy = match server.is_https() {
        true => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
        false => first(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
    };
    let host = server.host();
    let exempt = first(&["no_proxy", "NO_PROXY"]).is_some_and(|(list, _)| is_listed(&list, host));
    (!exempt).then_some(proxy)
}

/// Whether a `no_proxy` list contains `host`: by its name, by a domain to which it belongs, or by
/// `*`.
pub(crate) fn is_listed(list: &str, host: &str) -> bool {
    let bare = |name: &str| name.trim_matches(['[', ']', '.']).to_ascii_lowercase();
    let host = bare(host);
    list.split([',', ' ']).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = bare(entry);
        entry == "*" || host == entry || host.strip_suffix(&entry).is_some_and(|h| h.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_lists_names_domains_and_everything() {
        assert!(is_listed("a.example", "a.example"));
        assert!(is_listed("x, .EXAMPLE", "A.example"));
        assert!(is_listed("example", "a.example."));
        assert!(is_listed("127.0.0.1,[::1]", "::1"));
        assert!(is_listed("*", "anything"));
        assert!(!is_listed("ample", "a.example"));
        assert!(!is_listed("a.example", "b.a.examples"));
        assert!(!is_listed("", "a"));
    }
}
