//! The configuration file of `httptime run`.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use httptime::Client;
use httptime::{Family, IoError, Span, Timestamp, build_day};
use httptime_chrony::{ChronyError, Feed, Poll};
use httptime_clock::Evidence;
use httptime_clock::Policy;
use httptime_clock::discipline::Discipline;
use httptime_clock::state::SavedState;
use serde::Deserialize;
use thiserror::Error as ThisError;

use super::outputs::{DEFAULT_STATUS_FILE, LogSettings, check_textfile_name};
use crate::https::{self, HttpsOptions};
use crate::measure_options::{
    Given, Limit, MeasureOptions, Misuse, Route, Seconds, Servers, Via, check_quorum,
};
use crate::server_arg::ServerArg;

/// The contents of the file, with a default for every key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    servers: Vec<ServerArg>,
    min_servers: Option<usize>,
    #[serde(default)]
    pub(crate) mode: Mode,
    proxy: Option<ServerArg>,
    #[serde(default)]
    tunnel: bool,
    user_agent: Option<String>,
    #[serde(default)]
    family: Family,
    source_address: Option<IpAddr>,
    interface: Option<String>,
    pub(crate) textfile: Option<PathBuf>,
    state_file: Option<PathBuf>,
    status_file: Option<PathBuf>,
    log_dir: Option<PathBuf>,
    log_size: Option<u64>,
    log_files: Option<u32>,
    #[serde(default)]
    measure: MeasureOptions,
    #[serde(default)]
    pub(crate) poll: Polling,
    #[serde(default)]
    policy: Limits,
    #[serde(default)]
    chrony: Chrony,
    #[serde(default)]
    https: HttpsOptions,
}

/// Which program corrects the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// This program.
    #[default]
    Clock,
    /// chronyd, which gets the measurements.
    Chrony,
}

/// How often to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Polling {
    shortest: Seconds,
    longest: Seconds,
    hold: Seconds,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    step_threshold: Option<Limit>,
    max_forward: Option<Limit>,
    max_backward: Option<Limit>,
    max_startup_forward: Option<Limit>,
    max_startup_backward: Option<Limit>,
    max_accumulated: Option<Limit>,
    quorum: Option<usize>,
    #[serde(default)]
    trust_single: bool,
    floor: Option<Day>,
    slew_ppm: Option<u32>,
    #[serde(default)]
    evidence: EvidenceSetting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EvidenceSetting {
    #[default]
    Bounds,
    Estimate,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Chrony {
    socket: PathBuf,
    poll: i8,
    delay: Option<Seconds>,
}

/// A day, from its beginning in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "toml::value::Datetime")]
struct Day(Timestamp);

/// A configuration, the client that measures, and the proxy that it goes through.
pub(crate) type Loaded = (Settings, Client, Option<Via>);

/// Why a configuration cannot be used.
#[derive(Debug, ThisError)]
pub(crate) enum SettingsError {
    #[error(
        "cannot read the configuration {}: {}{}",
        .path.display(), read_failure(.source), remedy(.source)
    )]
    Unreadable { path: PathBuf, source: io::Error },
    /// The parser's message has the line in it.
    #[error("{}: {message}", .path.display())]
    Malformed { path: PathBuf, message: String },
}

impl TryFrom<toml::value::Datetime> for Day {
    type Error = String;

    fn try_from(datetime: toml::value::Datetime) -> Result<Self, String> {
        let date = datetime.date.filter(|_| datetime.time.is_none());
        let date = date.ok_or_else(|| format!("{datetime}; allowed: a date such as 2026-01-31"))?;
        let floor = https::day(&date.to_string()).ok();
        floor.map(Self).ok_or_else(|| format!("{date}; allowed: a date in 1970 to 2262"))
    }
}

impl Default for Polling {
    fn default() -> Self {
        let seconds = |seconds| Seconds(Duration::from_secs(seconds));
        Self { shortest: seconds(64), longest: seconds(3600), hold: Seconds(MILLISECOND) }
    }
}

impl Default for Chrony {
    fn default() -> Self {
        Self { socket: "/run/chrony/httptime.sock".into(), poll: 6, delay: None }
    }
}

impl Polling {
    pub(crate) const fn shortest(&self) -> Duration {
        self.shortest.0
    }

    pub(crate) const fn longest(&self) -> Duration {
        self.longest.0
    }

    pub(crate) fn discipline(&self) -> Discipline {
        Discipline::new(self.shortest.0, self.longest.0, self.hold.0)
    }

    pub(crate) fn limit(&self, discipline: &mut Discipline) {
        discipline.set_limits(self.shortest.0, self.longest.0, self.hold.0);
    }
}

impl Settings {
    /// Reads and checks the file.
    pub(crate) fn load(path: &Path) -> Result<Loaded, SettingsError> {
        let text = fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// Parses and checks the text. `path` is for the errors.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Loaded, SettingsError> {
        let settings: Self = toml::from_str(text).map_err(|error| SettingsError::Malformed {
            path: path.into(),
            message: parse_error_text(&error, text),
        })?;
        let unusable = |message: String| SettingsError::Malformed { path: path.into(), message };
        let (client, via) = settings.client().map_err(|error| unusable(error.to_string()))?;
        settings.feed().map_err(|error| match error {
            ChronyError::InvalidPoll { .. } => unusable(format!("chrony.{error}")),
            error => unusable(format!("chrony.socket: {error}")),
        })?;
        let Polling { shortest: Seconds(shortest), longest: Seconds(longest), .. } = settings.poll;
        if shortest < SECOND {
            let shortest = Span::new(shortest);
            return Err(unusable(format!("poll.shortest is {shortest}; allowed: 1 s or more")));
        }
        if longest > WEEK {
            let longest = Span::new(longest);
            return Err(unusable(format!(
                "poll.longest is {longest}; allowed: up to 604800 s, which is a week"
            )));
        }
        if longest < shortest {
            let (longest, shortest) = (Span::new(longest), Span::new(shortest));
            return Err(unusable(format!(
                "poll.longest is {longest}; allowed: poll.shortest ({shortest}) or more"
            )));
        }
        if let Some(ppm) = settings.policy.slew_ppm.filter(|ppm| !(1..=500).contains(ppm)) {
            return Err(unusable(format!("policy.slew_ppm is {ppm}; allowed: 1 to 500")));
        }
        if let Some(size) = settings.log_size.filter(|size| *size < MIN_LOG_SIZE) {
            return Err(unusable(format!("log_size is {size}; allowed: {MIN_LOG_SIZE} or more")));
        }
        if let Some(files) = settings.log_files.filter(|files| !(1..=1000).contains(files)) {
            return Err(unusable(format!("log_files is {files}; allowed: 1 to 1000")));
        }
        if let Some(quorum) = settings.policy.quorum {
            check_quorum(quorum, settings.servers.len())
                .map_err(|error| unusable(Misuse::of(error, Given::File).to_string()))?;
        }
        settings.check_textfile().map_err(unusable)?;
        Ok((settings, client, via))
    }

    /// The client that measures, and the proxy that it goes through.
    fn client(&self) -> Result<(Client, Option<Via>), Misuse> {
        let servers = self.server_options();
        // The policy has its own floor and reports it.
        servers.ready_to_correct(servers.config().floor(None), Given::File)
    }

    /// Servers, route and settings in the form of the command line: an option that is added there
    /// must also be set here.
    fn server_options(&self) -> Servers {
        Servers {
            urls: self.servers.clone(),
            min_servers: self.min_servers,
            measure_options: self.measure.clone(),
            route: Route {
                proxy: self.proxy.clone(),
                tunnel: self.tunnel,
                user_agent: self.user_agent.clone(),
                family: self.family.into(),
                source_address: self.source_address,
                interface: self.interface.clone(),
            },
            https: HttpsOptions { floor: self.certificate_floor(), ..self.https.clone() },
        }
    }

    /// The later of the floor in the file and the time of the saved state, which is only a hint.
    fn certificate_floor(&self) -> Option<Timestamp> {
        let is_used = cfg!(feature = "https") && self.mode == Mode::Clock;
        let saved = is_used.then(|| SavedState::load(&self.state_file()).ok().flatten());
        let saved = saved.flatten().map(|saved| saved.saved_at);
        let shown = httptime::net::cross_timestamp().wall();
        let can_go_back = self.policy.trust_single || self.servers.len() >= MIN_MAJORITY_SERVERS;
        let saved = saved.and_then(|saved| saved_floor(saved, shown, can_go_back));
        self.policy.floor.map(|Day(floor)| floor).max(saved)
    }

    /// Whether the service finds what it needs on this machine: the directories of its files.
    pub(crate) fn check_directories(&self) -> Result<(), String> {
        let textfile = self.textfile.as_deref().map(|path| ("textfile", path));
        let state = self.state_file.as_deref().filter(|_| self.mode == Mode::Clock);
        let state = state.map(|path| ("state_file", path));
        let socket = Some(self.chrony.socket.as_path()).filter(|_| self.mode == Mode::Chrony);
        let socket = socket.map(|path| ("chrony.socket", path));
        // A service manager creates the directory of the default.
        let status = self.status_file.as_deref().filter(|path| !path.as_os_str().is_empty());
        let status = status.map(|path| ("status_file", path));
        // Any file in the directory.
        let log = self.log_dir.as_ref().map(|directory| directory.join("tracking.log"));
        let log = log.as_deref().map(|path| ("log_dir", path));
        for (key, path) in [textfile, state, status, log, socket].into_iter().flatten() {
            let directory = path.parent().filter(|directory| *directory != Path::new(""));
            let directory = directory.unwrap_or(Path::new("."));
            if !directory.is_dir() {
                let path = if key == "log_dir" { directory } else { path };
                return Err(format!(
                    "{key} is {}, but there is no directory {}; create it, or change {key}",
                    path.display(),
                    directory.display()
                ));
            }
        }
        Ok(())
    }

    /// Whether `node_exporter` would read the metrics.
    fn check_textfile(&self) -> Result<(), String> {
        match &self.textfile {
            Some(path) => check_textfile_name(path)
                .map_err(|allowed| format!("textfile is {}; {allowed}", path.display())),
            None => Ok(()),
        }
    }

    /// The rules for correcting the clock.
    pub(crate) fn policy(&self) -> Policy {
        let limits = &self.policy;
        let mut policy = Policy::default();
        if let Some(Limit(threshold)) = limits.step_threshold {
            policy = policy.step_threshold(threshold);
        }
        if let Some(Limit(limit)) = limits.max_forward {
            policy = policy.max_forward(limit);
        }
        if let Some(Limit(limit)) = limits.max_backward {
            policy = policy.max_backward(limit);
        }
        if let Some(Limit(limit)) = limits.max_startup_forward {
            policy = policy.max_startup_forward(limit).max_saved_forward(limit);
        }
        if let Some(Limit(limit)) = limits.max_startup_backward {
            policy = policy.max_startup_backward(limit);
        }
        if let Some(Limit(limit)) = limits.max_accumulated {
            policy = policy.max_accumulated(limit);
        }
        policy = policy.quorum(limits.quorum).trust_single(limits.trust_single);
        if let Some(Day(floor)) = limits.floor {
            policy = policy.floor(floor);
        }
        if let Some(ppm) = limits.slew_ppm {
            policy = policy.slew_ppm(ppm);
        }
        policy.evidence(match limits.evidence {
            EvidenceSetting::Bounds => Evidence::Bounds,
            EvidenceSetting::Estimate => Evidence::Estimate,
        })
    }

    /// The feed to chronyd.
    pub(crate) fn feed(&self) -> Result<Feed, ChronyError> {
        Feed::new(&self.chrony.socket, Poll::new(self.chrony.poll)?)
    }

    /// The `delay` of the line in `chrony.conf`, if the file sets it.
    pub(crate) fn chrony_delay(&self) -> Option<Duration> {
        self.chrony.delay.map(|delay| delay.0)
    }

    /// Creates the usual directory of the state. A service manager creates its own, and a path in
    /// the file is the operator's.
    pub(crate) fn create_state_directory(&self) -> Result<(), String> {
        let is_usual = self.state_file.is_none() && std::env::var_os("STATE_DIRECTORY").is_none();
        create_usual_directory(is_usual.then_some(Path::new(STATE_DIRECTORY)))
    }

    /// The path of the state: from the file, otherwise in the service manager's directory,
    /// otherwise the usual one.
    pub(crate) fn state_file(&self) -> PathBuf {
        self.state_file.clone().unwrap_or_else(|| {
            let directory = std::env::var_os("STATE_DIRECTORY").map(PathBuf::from);
            directory.unwrap_or_else(|| STATE_DIRECTORY.into()).join("state.toml")
        })
    }

    /// The path of the status file: from the file, otherwise in the service manager's directory,
    /// otherwise the usual one. An empty path is none.
    pub(crate) fn status_file(&self) -> Option<PathBuf> {
        match &self.status_file {
            Some(path) => Some(path.clone()).filter(|path| !path.as_os_str().is_empty()),
            None => Some(match std::env::var_os("RUNTIME_DIRECTORY") {
                Some(directory) => PathBuf::from(directory).join("status.json"),
                None => DEFAULT_STATUS_FILE.into(),
            }),
        }
    }

    /// Where the statistics are written, if they are.
    pub(crate) fn log(&self) -> Option<LogSettings> {
        Some(LogSettings {
            directory: self.log_dir.clone()?,
            size: self.log_size.unwrap_or(LOG_SIZE),
            files: self.log_files.unwrap_or(LOG_FILES),
        })
    }

    /// Whether the status file has its usual path, which no service manager and no operator chose.
    pub(crate) fn is_default_status_file(&self) -> bool {
        self.status_file() == Some(DEFAULT_STATUS_FILE.into())
    }
}

fn create_usual_directory(directory: Option<&Path>) -> Result<(), String> {
    let Some(directory) = directory else { return Ok(()) };
    fs::create_dir_all(directory).map_err(|error| {
        format!("cannot create {}: {}", directory.display(), IoError::from(&error))
    })
}

/// The time before which certificates must not have expired, from the time that was saved.
///
/// `shown`: the local clock. `can_go_back`: several servers, or one that is trusted, may set the
/// clock back to any time after the build. A certificate must then not be judged by a saved time
/// that may be in the future. Otherwise a saved time after that of a clock that has been set is not
/// believed either.
fn saved_floor(saved: Timestamp, shown: Timestamp, can_go_back: bool) -> Option<Timestamp> {
    match shown >= build_day() {
        _ if can_go_back => None,
        true => Some(saved.min(shown)),
        false => Some(saved),
    }
}

/// The parser's message without a proxy's password. It is unchanged if no `@` follows in the file.
/// Otherwise it does not contain the line itself, nor the quoted text before an `@`.
fn parse_error_text(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or("");
    let number = before.matches('\n').count() + 1;
    let mut message = without_quotes(error.message()).replace('\n', ", ");
    for (parser, ours) in WORDS {
        message = message.replace(parser, ours);
    }
    let message = message.replace('`', "'");
    if let Some(key) = message.strip_prefix("missing field ") {
        return format!("the key {key} is missing");
    }
    if let (Some(key), Some(section)) = (misplaced(&message), section_at(text, number)) {
        return format!(
            "line {number}: '{key}' is not a key of [{section}]; move it above the first section"
        );
    }
    if let Some((what, _)) = message.split_once(", expected struct ") {
        let key = key_at(text, number).unwrap_or_default();
        return format!("line {number}, {key}: {what}, expected a section; write [{key}]");
    }
    match key_at(text, number) {
        Some(key) if !message.starts_with("unknown key") => {
            let name = key.rsplit('.').next().unwrap_or_default();
            match message.strip_prefix(name).filter(|rest| rest.starts_with(" is ")) {
                Some(rest) => format!("line {number}, {key}{rest}"),
                None => format!("line {number}, {key}: {message}"),
            }
        }
        _ => format!("line {number}: {message}"),
    }
}

/// The parser's names of types, and what an operator calls them.
const WORDS: &[(&str, &str)] = &[
    ("key with no value, expected `=`", "write a line as key = value"),
    ("expected `'`", "a closing ' is missing"),
    ("expected `\"`", "a closing \" is missing"),
    (
        "string values must be quoted, expected literal string",
        "write a text in quotes, and a number without a unit",
    ),
    (
        "unexpected key or value, expected newline, `#`",
        "unexpected text after the value; write decimals with a point, such as 0.5",
    ),
    ("expected a TOML datetime", "expected a date such as 2026-01-31"),
    ("unknown field", "unknown key"),
    ("unknown variant", "unknown value"),
    ("expected f64", "expected a number of seconds"),
    ("expected u32", "expected a whole number, 0 or more"),
    ("expected u64", "expected a whole number, 0 or more"),
    ("expected usize", "expected a whole number, 0 or more"),
    ("expected i8", "expected a small whole number"),
    ("expected a sequence", "expected a list in brackets"),
    ("expected path string", "expected a path in quotes"),
    ("expected a string", "expected a text in quotes"),
    ("expected a boolean", "expected true or false"),
    ("invalid IP address syntax", "not an IPv4 or IPv6 address"),
];

/// The key on a line, after the section that it is in. Nothing where a text may go over several
/// lines: it could be a password.
fn key_at(text: &str, number: usize) -> Option<String> {
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let (key, _) = text.lines().nth(number - 1)?.split_once('=')?;
    let key = Some(key.trim()).filter(|key| is_name(key))?;
    let section = section_at(text, number);
    Some(section.map_or(key.to_owned(), |section| format!("{section}.{key}")))
}

/// Whether a text can be the name of a key or of a section: any other could be a password.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The section that a line is in.
fn section_at(text: &str, number: usize) -> Option<&str> {
    let above: Vec<&str> = text.lines().take(number - 1).map(str::trim).collect();
    let section = above.iter().rev().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    section.filter(|section| is_name(section))
}

/// The key in a message about an unknown one, if it is a key of the top level.
fn misplaced(message: &str) -> Option<&str> {
    let (key, _) = message.strip_prefix("unknown key '")?.split_once('\'')?;
    TOP_LEVEL.contains(&key).then_some(key)
}

/// The keys that must come before the first section.
const TOP_LEVEL: &[&str] = &[
    "servers",
    "min_servers",
    "mode",
    "proxy",
    "tunnel",
    "user_agent",
    "family",
    "source_address",
    "interface",
    "textfile",
    "state_file",
    "status_file",
    "log_dir",
    "log_size",
    "log_files",
];

/// What to do about a file that cannot be read.
fn read_failure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => IoError::from(error).to_string(),
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; create it, or name another with --config",
        io::ErrorKind::PermissionDenied => "; make it readable, or run as root",
        io::ErrorKind::IsADirectory => "; name a file with --config",
        io::ErrorKind::InvalidData => "; save it as UTF-8",
        _ => "",
    }
}

/// A message of the parser without the quoted text before the last `@`.
fn without_quotes(message: &str) -> String {
    let Some(at) = message.rfind('@') else { return message.to_owned() };
    // The text before the first quotation mark is the parser's own.
    let quoted = message[..at].find(['"', '`', '\'']).map_or(0, |mark| mark + 1);
    format!("{}***{}", &message[..quoted], &message[at..])
}

/// Where the state is kept, if nothing else is set.
const STATE_DIRECTORY: &str = "/var/lib/httptime";
/// With as many servers or more, a majority of them may exceed the limits of the policy.
const MIN_MAJORITY_SERVERS: usize = 3;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
/// A megabyte has some 8000 lines: with the longest interval, most of a year.
const LOG_SIZE: u64 = 1_000_000;
const LOG_FILES: u32 = 5;
/// The lines of one measurement of many servers with long names fit in.
const MIN_LOG_SIZE: u64 = 10_000;
const WEEK: Duration = Duration::from_secs(7 * 86_400);

#[cfg(test)]
mod tests {
    use httptime::Offset;

    use super::*;

    const TOML: &str = "servers = ['http://192.0.2.1', 'http://192.0.2.2', 'http://192.0.2.3']\n\
                        proxy = ''\n";

    fn parsed(more: &str) -> Result<Settings, String> {
        let text = format!("{TOML}{more}");
        let parsed = Settings::parse(Path::new("httptime.toml"), &text);
        parsed.map(|(settings, ..)| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn a_quorum_has_at_least_two_and_at_most_all_servers() {
        for (quorum, error) in [
            (1, Some("policy.quorum is 1; allowed: 2 or more; for fewer see trust_single")),
            (2, None),
            (3, None),
            (4, Some("policy.quorum is 4; allowed: 2 to the number of servers, which is 3")),
        ] {
            let parsed = parsed(&format!("[policy]\nquorum = {quorum}\n"));
            let expected = error.map(|error| format!("httptime.toml: {error}"));
            assert_eq!(parsed.err(), expected, "{quorum}");
        }
    }

    #[test]
    fn a_textfile_that_no_collector_reads_is_refused() {
        assert!(parsed("textfile = '/tmp/httptime.prom'\n").is_ok());
        for name in ["httptime.txt", "httptime", ".prom"] {
            let error = parsed(&format!("textfile = '/tmp/{name}'\n")).expect_err(name);
            assert!(error.contains("; allowed: a name that ends in .prom"), "{error}");
        }
    }

    #[test]
    fn a_check_finds_directories_that_are_not_there() {
        let here = std::env::temp_dir();
        let here = here.display();
        for (key, more) in [
            ("textfile", "textfile = '/nowhere/a.prom'\n".to_owned()),
            ("state_file", "state_file = '/nowhere/state.toml'\n".to_owned()),
            ("status_file", "status_file = '/nowhere/status.json'\n".to_owned()),
            ("log_dir", "log_dir = '/nowhere'\n".to_owned()),
            ("chrony.socket", "mode = 'chrony'\n[chrony]\nsocket = '/nowhere/a'\n".to_owned()),
        ] {
            let settings = parsed(&more).expect("syntax");
            let error = settings.check_directories().expect_err(key);
            let expected = format!("{key} is /nowhere");
            assert!(error.starts_with(&expected), "{error}");
            assert!(error.contains(", but there is no directory /nowhere; create it"), "{error}");
            let there = parsed(&more.replace("/nowhere", &here.to_string())).expect("syntax");
            assert_eq!(there.check_directories(), Ok(()), "{key}");
        }
    }

    #[test]
    fn the_usual_state_directory_is_created_and_no_other() {
        let root = std::env::temp_dir().join(format!("httptime-state-{}", std::process::id()));
        let directory = root.join("lib").join("httptime");
        assert_eq!(create_usual_directory(None), Ok(()));
        assert!(!root.exists());
        assert_eq!(create_usual_directory(Some(&directory)), Ok(()));
        assert!(directory.is_dir());
        let file = root.join("file");
        fs::write(&file, "").expect("written");
        let error = create_usual_directory(Some(&file.join("a"))).expect_err("a file");
        assert!(error.starts_with("cannot create "), "{error}");
        fs::remove_dir_all(root).expect("removed");
    }

    #[test]
    fn a_saved_time_in_the_future_does_not_refuse_every_certificate() {
        let day = |days: i64| {
            build_day().saturating_add(Offset::from_nanos(days * 86_400 * 1_000_000_000))
        };
        for (saved, shown, can_go_back, floor) in [
            (5, 10, false, Some(5)),
            (400, 10, false, Some(10)),
            (400, -1, false, Some(400)),
            (5, 10, true, None),
            (400, -1, true, None),
        ] {
            let found = saved_floor(day(saved), day(shown), can_go_back);
            assert_eq!(found, floor.map(day), "{saved} {shown} {can_go_back}");
        }
    }
}
