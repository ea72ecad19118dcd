//! Which servers: from the command line, from files with a server in each line, and from the files
//! of Prometheus' `file_sd_configs`.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use httptime::{IoError, Url};
use serde::Deserialize;

use crate::args::Survey;
use crate::server_arg::ServerArg;

/// A server to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) url: String,
    /// By name; all names can be used in metrics.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Why a list cannot be used, for people.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unusable(pub(crate) String);

/// All servers, each once, in the order in which they are given.
pub(crate) fn all(survey: &Survey) -> Result<Vec<Listed>, Unusable> {
    let mut listed: Vec<Listed> =
        survey.urls.iter().map(|url| listed(url, "the command line")).collect::<Result<_, _>>()?;
    for file in &survey.file {
        listed.extend(from_lines(&read(file)?, &file.display().to_string())?);
    }
    for file in &survey.file_sd {
        listed.extend(from_file_sd(&read(file)?, &file.display().to_string())?);
    }
    let mut seen = HashSet::new();
    listed.retain(|server| seen.insert(server.url.clone()));
    if listed.is_empty() {
        return Err(Unusable(
            "there is no server to measure; name one, or give a list with --file or --file-sd"
                .to_owned(),
        ));
    }
    Ok(listed)
}

fn read(file: &Path) -> Result<String, Unusable> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|error| {
        Unusable(format!("cannot read {}: {}", file.display(), IoError::from(&error)))
    })
}

fn listed(server: &ServerArg, place: &str) -> Result<Listed, Unusable> {
    let url = server.url();
    match Url::parse(&url) {
        Ok(_) => Ok(Listed { url, labels: BTreeMap::new() }),
        Err(error) => Err(Unusable(format!("{place}: {error}"))),
    }
}

/// A server in each line. `name`: of the file.
fn from_lines(text: &str, name: &str) -> Result<Vec<Listed>, Unusable> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let servers = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    servers
        .map(|(number, line)| {
            listed(&ServerArg::from(line.to_owned()), &format!("{name}, line {number}"))
        })
        .collect()
}

/// The target groups of a file for Prometheus.
fn from_file_sd(text: &str, name: &str) -> Result<Vec<Listed>, Unusable> {
    #[derive(Deserialize)]
    struct Group {
        targets: Vec<String>,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    let groups: Vec<Group> = serde_json::from_str(text).map_err(|error| {
        let wanted = r#"[{"targets": ["host:port"], "labels": {"name": "value"}}]"#;
        Unusable(format!("{name}: {error}; expected: {wanted}"))
    })?;
    let mut all = Vec::new();
    for group in groups {
        let scheme = group.labels.get("__scheme__").map_or("http", String::as_str);
        let labels: BTreeMap<String, String> =
            group.labels.iter().filter(|(name, _)| is_usable(name)).map(owned).collect();
        for target in &group.targets {
            let url = ServerArg::from(format!("{scheme}://{target}"));
            let mut server = listed(&url, &format!("{name}, target {target}"))?;
            server.labels.clone_from(&labels);
            server.labels.insert(TARGET.to_owned(), target.clone());
            all.push(server);
        }
    }
    Ok(all)
}

fn owned((name, value): (&String, &String)) -> (String, String) {
    (name.clone(), value.clone())
}

/// Whether a label is one of the user, and has a name that metrics may have.
fn is_usable(name: &str) -> bool {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    name.chars().all(is_word)
        && name.starts_with(|first: char| !first.is_ascii_digit())
        && !name.starts_with("__")
        && ![URL, TARGET].contains(&name)
}

/// The label with the URL of a server.
pub(crate) const URL: &str = "url";
/// The label with the target as Prometheus knows it.
const TARGET: &str = "target";

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(listed: &[Listed]) -> Vec<&str> {
        listed.iter().map(|it| it.url.as_str()).collect()
    }

    #[test]
    fn a_list_has_a_server_in_each_line_and_comments() {
        let text = "# node_exporter\nnode1:9100\n\n  https://node2/ \r\nnode3\n";
        let listed = from_lines(text, "nodes").expect("a list");
        assert_eq!(urls(&listed), ["http://node1:9100", "https://node2/", "http://node3"]);
        let error = from_lines("node1\n\nftp://node2/\n", "nodes").expect_err("ftp");
        assert!(error.0.starts_with("nodes, line 3: cannot use URL \"ftp://node2/\""), "{error:?}");
    }

    #[test]
    fn targets_for_prometheus_keep_their_labels() {
        let text = r#"[
            {"targets": ["node1:9100", "[2001:db8::1]:9100"],
             "labels": {"rack": "a \"1\"", "__meta_x": "y", "url": "z", "1a": "b", "ä": "c"}},
            {"targets": ["node2:443"], "labels": {"__scheme__": "https"}},
            {"targets": []}
        ]"#;
        let listed = from_file_sd(text, "nodes.json").expect("a list");
        assert_eq!(
            urls(&listed),
            ["http://node1:9100", "http://[2001:db8::1]:9100", "https://node2:443"]
        );
        let labels: Vec<(&str, &str)> =
            listed[0].labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(labels, [("rack", "a \"1\""), ("target", "node1:9100")]);
    }

    #[test]
    fn a_file_of_another_form_is_refused_with_its_place_and_what_is_expected() {
        let error = from_file_sd(r#"{"targets": []}"#, "nodes.json").expect_err("an object").0;
        assert!(error.starts_with("nodes.json: ") && error.contains("line 1 column"), "{error}");
        assert!(error.contains(r#"expected: [{"targets""#), "{error}");
        let error = from_file_sd(r#"[{"targets": ["a b:1"]}]"#, "nodes.json").expect_err("a space");
        assert!(error.0.starts_with("nodes.json, target a b:1: cannot use URL"), "{error:?}");
    }
}
