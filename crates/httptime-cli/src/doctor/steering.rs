//! Who else steers the clock: running programs, and lines of cron.

use std::fs;

use serde::Serialize;

use super::finding::{Examination::Steering, Finding, Kind};
use super::place::Place;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Facts {
    pub(crate) processes: Vec<Process>,
    pub(crate) cron_lines: Vec<CronLine>,
}

/// A running program that can steer a clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) name: String,
    /// Why it does not steer the clock, if it does not.
    pub(crate) idle: Option<&'static str>,
}

/// A line that sets the clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct CronLine {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) command: &'static str,
}

/// The name in `/proc/PID/comm` (15 characters at most), the name for people, and the unit.
const PROGRAMS: &[(&str, &str, &str)] = &[
    ("chronyd", "chronyd", "chrony"),
    ("ntpd", "ntpd", "ntp"),
    ("ntp-daemon", "ntpd-rs", "ntpd-rs"),
    ("systemd-timesyn", "systemd-timesyncd", "systemd-timesyncd"),
    ("openntpd", "openntpd", "openntpd"),
    ("htpdate", "htpdate", "htpdate"),
    ("tlsdated", "tlsdated", "tlsdated"),
    ("phc2sys", "phc2sys", "phc2sys"),
    ("httptime", "httptime", "httptime"),
];

pub(crate) fn gather(place: &Place) -> Facts {
    Facts { processes: processes(place), cron_lines: cron_lines(place) }
}

fn processes(place: &Place) -> Vec<Process> {
    let entries = fs::read_dir(place.path("proc")).into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut all: Vec<Process> = pids.filter_map(|pid| process(place, pid)).collect();
    // A program can have several processes: chronyd has one for its privileges, openntpd three.
    all.sort_by_key(|process| process.pid);
    let mut seen: Vec<String> = Vec::new();
    all.retain(|process| {
        let is_new = !seen.contains(&process.name);
        seen.push(process.name.clone());
        is_new
    });
    all
}

fn process(place: &Place, pid: u32) -> Option<Process> {
    let comm = place.text(&format!("proc/{pid}/comm"))?;
    let (_, name, _) = PROGRAMS.iter().find(|(program, ..)| *program == comm.trim())?;
    let arguments = place.text(&format!("proc/{pid}/cmdline")).unwrap_or_default();
    let arguments: Vec<&str> = arguments.split('\0').collect();
    let configuration = configuration(&arguments)
        .and_then(|path| place.text(path.trim_start_matches('/')))
        .unwrap_or_default();
    is_relevant(name, &arguments).then(|| Process {
        pid,
        name: (*name).to_owned(),
        idle: idle(name, &arguments, &configuration),
    })
}

/// The file after `-c` or `--config` of `httptime run`.
fn configuration<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    let mut all = arguments.iter();
    let given = all.find_map(|argument| match argument.strip_prefix("--config=") {
        Some(file) => Some(file),
        None if ["-c", "--config"].contains(argument) => Some(""),
        None => None,
    });
    match given {
        Some("") => all.next().copied(),
        Some(file) => Some(file),
        None => Some("/etc/httptime/httptime.toml"),
    }
}

/// Only the daemon steers: other commands of `httptime` also run as this program.
fn is_relevant(name: &str, arguments: &[&str]) -> bool {
    name != "httptime" || arguments.get(1) == Some(&"run")
}

fn idle(name: &str, arguments: &[&str], configuration: &str) -> Option<&'static str> {
    match name {
        "chronyd" if arguments.contains(&"-x") => Some("it runs with -x, without the clock"),
        "httptime" if is_chrony_mode(configuration) => Some("it feeds chronyd"),
        _ => None,
    }
}

fn is_chrony_mode(configuration: &str) -> bool {
    let table: Option<toml::Table> = configuration.parse().ok();
    table.is_some_and(|table| table.get("mode").and_then(|mode| mode.as_str()) == Some("chrony"))
}

fn cron_lines(place: &Place) -> Vec<CronLine> {
    let mut files: Vec<(String, String)> = Vec::new();
    for file in ["etc/crontab", "etc/anacrontab", "etc/crontabs/root"] {
        files.extend(place.text(file).map(|text| (file.to_owned(), text)));
    }
    for directory in [
        "etc/cron.d",
        "etc/cron.hourly",
        "etc/cron.daily",
        "etc/cron.weekly",
        "etc/cron.monthly",
        "var/spool/cron",
        "var/spool/cron/crontabs",
    ] {
        files.extend(place.texts(directory));
    }
    let in_file = |(file, text): (String, String)| {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, sets_clock(line)));
        let lines = lines.filter_map(|(line, command)| Some((line, command?)));
        let of_file = |(line, command)| CronLine { file: format!("/{file}"), line, command };
        lines.map(of_file).collect::<Vec<_>>()
    };
    files.into_iter().flat_map(in_file).collect()
}

/// The command of a line that sets the clock.
fn sets_clock(line: &str) -> Option<&'static str> {
    let line = line.trim_start();
    if line.starts_with('#') {
        return None;
    }
    let is_separator = |c: char| c.is_whitespace() || ";|&()\"'`$".contains(c);
    let words: Vec<&str> = line.split(is_separator).filter(|word| !word.is_empty()).collect();
    let program = |word: &str, name: &str| word == name || word.ends_with(&format!("/{name}"));
    words.iter().enumerate().find_map(|(index, word)| {
        let options = words[index + 1..].iter().take_while(|word| word.starts_with('-'));
        let has = |wanted: &[&str]| {
            options.clone().any(|option| {
                wanted
                    .iter()
                    .any(|wanted| option == wanted || option.starts_with(&format!("{wanted}=")))
            })
        };
        match () {
            () if program(word, "date") && has(&["-s", "--set", "-us", "-su"]) => Some("date -s"),
            () if program(word, "ntpdate") => Some("ntpdate"),
            () if program(word, "rdate") => Some("rdate"),
            () if program(word, "htpdate") && !has(&["-q"]) => Some("htpdate"),
            () if program(word, "sntp") && has(&["-s", "-S", "-a", "-j"]) => Some("sntp"),
            () if program(word, "hwclock") && has(&["-s", "--hctosys"]) => {
                Some("hwclock --hctosys")
            }
            () => None,
        }
    })
}

/// What the facts mean.
pub(crate) fn findings(facts: &Facts) -> Vec<Finding> {
    let (idle, steering): (Vec<&Process>, Vec<&Process>) =
        facts.processes.iter().partition(|process| process.idle.is_some());
    let mut all: Vec<Finding> = idle
        .iter()
        .filter_map(|process| {
            let why = process.idle?;
            Some(Finding::note(Steering, format!("{} is running: {why}", named(process))))
        })
        .collect();
    match &steering[..] {
        [] if facts.cron_lines.is_empty() => all.push(
            Finding::warning(Steering, Kind::NothingSteers, "no program keeps the clock correct")
                .run("systemctl enable --now httptime      # or httptime-sync.timer, or chrony"),
        ),
        [] => {}
        [only] => all.push(Finding::good(Steering, format!("{} steers the clock", named(only)))),
        several => all.push(fight(several)),
    }
    all.extend(facts.cron_lines.iter().map(|line| {
        let CronLine { file, line, command } = line;
        let beside = steering.first().map_or(String::new(), |it| format!(", against {}", it.name));
        Finding::fault(
            Steering,
            Kind::CronSetsClock,
            format!(
                "{file}, line {line}: {command} sets the clock{beside}; up to 1 s wrong each time"
            ),
        )
        .run(format!("sed -i '{line}s/^/#/' {file}"))
        .run("systemctl enable --now httptime-sync.timer      # in its place; see httptime(1)")
    }));
    all
}

/// Two programs that steer the same clock. The first one of the table is kept, because it is the
/// one that serves others.
fn fight(several: &[&Process]) -> Finding {
    let names: Vec<String> = several.iter().map(|process| named(process)).collect();
    let text = format!("{} steer the same clock against each other", names.join(" and "));
    let rank = |process: &&&Process| PROGRAMS.iter().position(|(_, name, _)| *name == process.name);
    let kept = several.iter().min_by_key(rank).map(|process| &process.name);
    let others = several.iter().filter(|process| Some(&process.name) != kept);
    let units = others.filter_map(|process| {
        PROGRAMS.iter().find(|(_, name, _)| *name == process.name).map(|(.., unit)| *unit)
    });
    let fault = Finding::fault(Steering, Kind::SeveralSteer, text);
    units.fold(fault, |fault, unit| fault.run(format!("systemctl disable --now {unit}")))
}

fn named(process: &Process) -> String {
    format!("{} (process {})", process.name, process.pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_sets_the_clock_is_found_and_no_other() {
        for (line, command) in [
            ("0 * * * * root date -s \"$(curl -sI http://jump/ | grep -i ^date)\"", "date -s"),
            ("@hourly /bin/date -u --set=\"$X\"", "date -s"),
            ("5 4 * * * root /usr/sbin/ntpdate pool.ntp.org", "ntpdate"),
            ("*/5 * * * * htpdate -s www.example.com", "htpdate"),
            ("0 0 * * * (hwclock --hctosys)", "hwclock --hctosys"),
            ("cd / && rdate -s time.example", "rdate"),
        ] {
            assert_eq!(sets_clock(line), Some(command), "{line}");
        }
        for line in [
            "# 0 * * * * root date -s x",
            "0 * * * * root backup-$(date +%F).sh -s",
            "0 * * * * root echo update -s",
            "0 * * * * root tar -c --date x",
            "0 * * * * root htpdate -q www.example.com",
            "37 * * * * root /usr/bin/httptime sync http://jump/",
            "",
        ] {
            assert_eq!(sets_clock(line), None, "{line}");
        }
    }

    fn process(name: &str, idle: Option<&'static str>) -> Process {
        Process { pid: 1, name: name.into(), idle }
    }

    #[test]
    fn two_programs_fight_and_one_beside_an_idle_one_does_not() {
        let of = |processes: Vec<Process>| findings(&Facts { processes, cron_lines: Vec::new() });
        let fight = of(vec![process("httptime", None), process("chronyd", None)]);
        assert_eq!((fight.len(), fight[0].kind), (1, Kind::SeveralSteer));
        assert_eq!(fight[0].commands, ["systemctl disable --now httptime"]);
        let fed = of(vec![process("httptime", Some("it feeds chronyd")), process("chronyd", None)]);
        assert!(!fed.iter().any(Finding::is_fault), "{fed:?}");
        assert_eq!(of(Vec::new())[0].kind, Kind::NothingSteers);
    }

    #[test]
    fn what_does_not_steer_is_told_by_arguments_and_configuration() {
        assert!(idle("chronyd", &["chronyd", "-x"], "").is_some());
        assert!(idle("chronyd", &["chronyd", "-F", "1"], "").is_none());
        assert!(idle("httptime", &[], "servers = [\"a\"]\nmode = \"chrony\"").is_some());
        assert!(idle("httptime", &[], "servers = [\"a\"]").is_none());
        assert!(is_relevant("httptime", &["httptime", "run"]));
        assert!(!is_relevant("httptime", &["httptime", "doctor"]));
        assert_eq!(configuration(&["httptime", "run", "-c", "/a"]), Some("/a"));
        assert_eq!(configuration(&["httptime", "run", "--config=/a"]), Some("/a"));
        assert_eq!(configuration(&["httptime", "run"]), Some("/etc/httptime/httptime.toml"));
    }
}
