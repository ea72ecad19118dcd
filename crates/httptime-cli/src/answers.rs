//! Responses that may not be the server's: whose clock was measured, and what to do, in words.

use httptime::survey::{ServerReport, Survey};
use httptime::{Suspicion, Url};

use crate::measure_options::{Given, Via};

/// A line for each measured server in whose place someone else may have answered. `by`: who can
/// change the settings.
pub(crate) fn warnings(survey: &Survey, via: Option<&Via>, by: Given) -> Vec<String> {
    let suspicious = |it: &ServerReport| Some(warning(it.url(), it.suspicion()?, via, by));
    survey.servers().iter().filter_map(suspicious).collect()
}

fn warning(url: &Url, suspicion: Suspicion, via: Option<&Via>, by: Given) -> String {
    let (expect, tunnel) = match by {
        Given::CommandLine => ("--expect-status", "--proxytunnel"),
        Given::File => ("measure.expect_status", "tunnel"),
    };
    let via = via.map_or(String::new(), |via| format!(" through {via}"));
    match suspicion {
        Suspicion::Proxy { .. } => format!(
            "{url}: {suspicion}{via}: the proxy may have answered by itself, and then its clock \
             was measured; use another URL, {tunnel}, or {expect} with the status of the server"
        ),
        _ => format!(
            "{url}: {suspicion}: a captive portal or a proxy answered, and its clock was measured; \
             log in to the network, or refuse such responses with {expect} 204"
        ),
    }
}

/// The warnings of a daemon that were logged, so that each is logged once.
#[derive(Debug, Default)]
pub(crate) struct Repeats(Vec<String>);

impl Repeats {
    /// The warnings that the last measurement did not have.
    pub(crate) fn new_ones<'a>(&mut self, warnings: &'a [String]) -> Vec<&'a String> {
        let new = warnings.iter().filter(|warning| !self.0.contains(warning)).collect();
        self.0 = warnings.to_vec();
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure_options::ProxySource;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn a_proxy_is_named_with_its_source_and_the_settings_that_refuse_it() {
        let via = Via::new(url("http://p:3128/"), ProxySource::Variable("http_proxy"), false);
        let server = url("http://a.example/");
        let suspicion = Suspicion::of(&server, 403, None, true).expect("a refusal");
        for (by, remedy) in [
            (Given::CommandLine, "--proxytunnel, or --expect-status with"),
            (Given::File, "tunnel, or measure.expect_status with"),
        ] {
            let said = warning(&server, suspicion, Some(&via), by);
            let start = "http://a.example/: status 403 through proxy http://p:3128/ (from \
                         environment variable http_proxy): the proxy may have answered by itself";
            assert!(said.starts_with(start) && said.contains(remedy), "{said}");
        }
    }

    #[test]
    fn a_portal_is_named_by_its_page() {
        let server = url("http://a.example/generate_204");
        let suspicion = Suspicion::of(&server, 200, Some("text/html"), false).expect("a portal");
        let said = warning(&server, suspicion, None, Given::CommandLine);
        let start = "http://a.example/generate_204: status 200 with a page of HTML instead of 204: \
                     a captive portal or a proxy answered";
        assert!(said.starts_with(start), "{said}");
    }

    #[test]
    fn a_warning_is_new_once_until_it_was_gone() {
        let mut repeats = Repeats::default();
        let warnings = ["a".to_owned(), "b".to_owned()];
        assert_eq!(repeats.new_ones(&warnings[..1]), ["a"]);
        assert_eq!(repeats.new_ones(&warnings), ["b"]);
        assert!(repeats.new_ones(&warnings).is_empty());
        assert!(repeats.new_ones(&[]).is_empty());
        assert_eq!(repeats.new_ones(&warnings[..1]), ["a"]);
    }
}
