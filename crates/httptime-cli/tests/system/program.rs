use std::process::{Command, Output};

use serde_json::Value;

/// What the program said under `--json`.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) offset: f64,
    pub(crate) bounds: [f64; 2],
    pub(crate) requests: u64,
    pub(crate) elapsed: f64,
}

impl Answer {
    /// Measures with these arguments; panics with what was said when it could not.
    pub(crate) fn query(url: &str, arguments: &[&str]) -> Self {
        let output = run(url, arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{url} {arguments:?}: {text}");
        Self::read(&text)
    }

    /// Reads what was printed.
    pub(crate) fn read(text: &str) -> Self {
        let json: Value = serde_json::from_str(text).expect("one JSON object");
        let number = |value: &Value| value.as_f64().expect("a number");
        Self {
            offset: number(&json["offset_seconds"]),
            bounds: [number(&json["bounds_seconds"][0]), number(&json["bounds_seconds"][1])],
            requests: json["requests"].as_u64().expect("a count"),
            elapsed: number(&json["elapsed_seconds"]),
        }
    }

    pub(crate) fn contains(&self, truth: f64) -> bool {
        (self.bounds[0]..=self.bounds[1]).contains(&truth)
    }
}

/// The kind of the error with which the program fails.
pub(crate) fn refused(url: &str, arguments: &[&str]) -> String {
    let output = run(url, arguments);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{url} {arguments:?}: {text}");
    let json: Value = serde_json::from_str(&text).expect("one JSON object");
    json["error"]["kind"].as_str().expect("a kind").to_owned()
}

fn run(url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_httptime"))
        .args(["query", "--json", url])
        .args(arguments)
        .env_remove("http_proxy")
        .output()
        .expect("the program starts")
}
