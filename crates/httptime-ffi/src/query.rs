use std::ffi::{CString, c_char};
use std::ptr;

use httptime::client::Update;
use httptime::{Client, Error};

use crate::boundary::{Output, give, guard, guard_or, reference, slice, take_back, target, text};
use crate::failure::Failure;
use crate::measurement::httptime_measurement;
use crate::options::{HTTPTIME_MAX_SERVERS, Settings, Watcher, httptime_options};
use crate::progress::httptime_progress;
use crate::status::httptime_status;

/// Measures one server, or several and selects among them. Blocks until it is done. Never touches a clock.
///
/// urls: count texts, "http://host:port/path", port and path only if needed. count: 1 to HTTPTIME_MAX_SERVERS; with several,
/// the majority decides.
/// options: NULL for the defaults. measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with
/// HTTPTIME_ERROR_INVALID_ARGUMENT, _INVALID_URL, _INVALID_CONFIG before anything is sent, and with 4 to 55. Any thread,
/// several at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_query(
    urls: *const *const c_char,
    count: usize,
    options: *const httptime_options,
    measurement: *mut httptime_measurement,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointers point to, and that it stays for the call.
        let (urls, settings, output) = unsafe {
            (texts(urls, count)?, Settings::of(options)?, Output::new(measurement, "measurement")?)
        };
        let survey = survey(&urls, settings)?;
        output.write(&survey.combined().map_err(Clone::clone)?.into());
        Ok(())
    })
}

/// What became of each server, and what they say together. It does not change: any number of threads may read it at once.
#[derive(Debug)]
pub struct httptime_survey {
    combined: Result<httptime_measurement, Failure>,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    url: CString,
    result: Result<httptime_measurement, Failure>,
    selected: bool,
}

/// As httptime_query, and keeps what became of each server. HTTPTIME_OK only says that they were asked: what came of it
/// is httptime_survey_combined's status.
///
/// survey: set to the new handle, which is yours: httptime_survey_free. The rest as for httptime_query.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_run(
    urls: *const *const c_char,
    count: usize,
    options: *const httptime_options,
    survey: *mut *mut httptime_survey,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointers point to, and that it stays for the call.
        let (urls, settings) = unsafe { (texts(urls, count)?, Settings::of(options)?) };
        let place = target(survey, "survey")?;
        let survey = self::survey(&urls, settings)?;
        let own = |result: Result<&httptime::Measurement, &Error>| {
            result.map(httptime_measurement::from).map_err(|error| Failure::from(error.clone()))
        };
        let servers = survey.servers().iter().map(|server| Server {
            url: CString::new(server.url().to_string()).unwrap_or_default(),
            result: own(server.result()),
            selected: server.is_selected(),
        });
        give(
            httptime_survey { combined: own(survey.combined()), servers: servers.collect() },
            place,
        );
        Ok(())
    })
}

/// What the selected servers say together; with one server, what that one says.
///
/// measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with the error of the only server, with
/// HTTPTIME_ERROR_ALL_FAILED, _NO_MAJORITY, _AMBIGUOUS_MAJORITY or _CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_combined(
    survey: *const httptime_survey,
    measurement: *mut httptime_measurement,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointers point to.
        let (survey, output) =
            unsafe { (reference(survey, "survey")?, Output::new(measurement, "measurement")?) };
        output.write(survey.combined.as_ref().map_err(Clone::clone)?);
        Ok(())
    })
}

/// How many servers were asked; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_count(survey: *const httptime_survey) -> usize {
    // SAFETY: the header says what the pointer points to.
    let survey = unsafe { survey.as_ref() };
    guard_or(0, || survey.map_or(0, |survey| survey.servers.len()))
}

/// What one server says.
///
/// index: from 0, in the order of the URLs. measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails
/// with why this server could not be measured; httptime_error_message has the values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_server(
    survey: *const httptime_survey,
    index: usize,
    measurement: *mut httptime_measurement,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header says what the pointers point to.
        let (survey, output) =
            unsafe { (reference(survey, "survey")?, Output::new(measurement, "measurement")?) };
        let server = survey.servers.get(index).ok_or_else(|| {
            Failure::argument(format!("there are {} servers, none {index}", survey.servers.len()))
        })?;
        output.write(server.result.as_ref().map_err(Clone::clone)?);
        Ok(())
    })
}

/// Whether a server is part of the majority: 1 or 0. Measured and not selected: a falseticker, or there is no majority. 0 for
/// NULL and for an index that is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_is_selected(
    survey: *const httptime_survey,
    index: usize,
) -> i32 {
    // SAFETY: the header says what the pointer points to.
    let survey = unsafe { survey.as_ref() };
    guard_or(0, || {
        let server = survey.and_then(|survey| survey.servers.get(index));
        i32::from(server.is_some_and(|server| server.selected))
    })
}

/// The URL of a server, as understood and without credentials. Lives as long as the survey. NULL for NULL and for an index
/// that is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_url(
    survey: *const httptime_survey,
    index: usize,
) -> *const c_char {
    // SAFETY: the header says what the pointer points to.
    let survey = unsafe { survey.as_ref() };
    guard_or(ptr::null(), || {
        let server = survey.and_then(|survey| survey.servers.get(index));
        server.map_or(ptr::null(), |server| server.url.as_ptr())
    })
}

/// Frees a survey.
///
/// survey: NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_free(survey: *mut httptime_survey) {
    // SAFETY: the header says: NULL, or a handle of httptime_survey_run that nobody uses any more.
    unsafe { take_back(survey) }
}

/// # Safety
/// `urls` is NULL, or `count` texts are there for `'a`.
unsafe fn texts<'a>(urls: *const *const c_char, count: usize) -> Result<Vec<&'a str>, Failure> {
    if !(1..=HTTPTIME_MAX_SERVERS).contains(&count) {
        let reason = format!("{count} servers; 1 to {HTTPTIME_MAX_SERVERS} can be asked");
        return Err(Failure::argument(reason));
    }
    // SAFETY: as the caller says.
    let urls = unsafe { slice(urls, count, "urls") }?;
    urls.iter()
        .enumerate()
        // SAFETY: as the caller says.
        .map(|(index, url)| unsafe { text(*url, format_args!("urls[{index}]")) })
        .collect()
}

fn survey(urls: &[&str], settings: Settings<'_>) -> Result<httptime::client::Survey, Failure> {
    let Settings { config, proxy, tunnel, family, canceller, progress } = settings;
    let (first, others) = urls.split_first().ok_or_else(|| Failure::argument("no urls"))?;
    let mut builder = Client::builder(*first).tunnel(tunnel).family(family).config(config);
    builder = others.iter().fold(builder, |builder, url| builder.server(*url));
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy);
    }
    let client = builder.build()?;
    let watch = |update: Update<'_>| {
        let Some(Watcher { callback, user_data }) = progress else { return };
        let server = u32::try_from(update.server).unwrap_or(u32::MAX);
        if let Some(progress) = httptime_progress::new(server, update.progress, update.estimate) {
            // SAFETY: the header says what it is called with, and that the caller's pointer is handed on.
            unsafe { callback(&raw const progress, user_data) }
        }
    };
    Ok(match canceller {
        Some(canceller) => client.survey_until(canceller, watch),
        None => client.survey(watch),
    })
}
