use std::env;

use httptime::Url;

use crate::no_proxy::is_listed;

/// The proxy that the environment names for the server, with curl's rules: `http_proxy` (lower case
/// only, because a web server turns a client's `Proxy` header into `HTTP_PROXY`), or `https_proxy`
/// in either case for an `https` URL, otherwise `all_proxy` in either case, unless `no_proxy` in
/// either case lists the server.
pub(crate) fn proxy_for(server: &Url) -> Option<(String, &'static str)> {
    let first = |names: &[&'static str]| {
        let mut values = names.iter().filter_map(|name| Some((env::var(name).ok()?, *name)));
        values.find(|(value, _)| !value.is_empty())
    };
    let proxy = match server.is_https() {
        true => first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
        false => first(&["http_proxy", "all_proxy", "ALL_PROXY"])?,
    };
    let exempt = first(&["no_proxy", "NO_PROXY"])
        .is_some_and(|(list, _)| is_listed(&list, server.host(), server.port()));
    (!exempt).then_some(proxy)
}
