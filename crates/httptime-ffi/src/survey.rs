use std::ffi::{CString, c_char};
use std::ptr;

use httptime::survey::Survey;
use httptime::{Error, Measurement};

use crate::boundary::{Output, free_handle, guard, guard_or, reference};
use crate::failure::Failure;
use crate::measurement::httptime_measurement;
use crate::status::httptime_status;

/// The result of each server, and the combined result. It does not change: any number of threads
/// may read it at once.
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

impl From<&Survey> for httptime_survey {
    fn from(survey: &Survey) -> Self {
        let own = |result: Result<&Measurement, &Error>| {
            result.map(httptime_measurement::from).map_err(|error| Failure::from(error.clone()))
        };
        let servers = survey.servers().iter().map(|server| Server {
            url: CString::new(server.url().to_string()).unwrap_or_default(),
            result: own(server.result()),
            selected: server.is_selected(),
        });
        Self { combined: own(survey.combined()), servers: servers.collect() }
    }
}

/// The combined result of the selected servers. With one server, its result.
///
/// measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with the
/// error of the only server, with HTTPTIME_ERROR_ALL_FAILED, _NO_MAJORITY, _AMBIGUOUS_MAJORITY or
/// _CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_combined(
    survey: *const httptime_survey,
    measurement: *mut httptime_measurement,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (survey, output) =
            unsafe { (reference(survey, "survey")?, Output::new(measurement, "measurement")?) };
        output.write(survey.combined.as_ref().map_err(Clone::clone)?);
        Ok(())
    })
}

/// The number of servers; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_count(survey: *const httptime_survey) -> usize {
    // SAFETY: the header defines what the pointer points to.
    let survey = unsafe { survey.as_ref() };
    guard_or(0, || survey.map_or(0, |survey| survey.servers.len()))
}

/// The result of one server.
///
/// index: from 0, in the order of the URLs. measurement: its struct_size set by the caller; written
/// only on HTTPTIME_OK. Fails with the reason why this server could not be measured;
/// httptime_error_message has the values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_server(
    survey: *const httptime_survey,
    index: usize,
    measurement: *mut httptime_measurement,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to.
        let (survey, output) =
            unsafe { (reference(survey, "survey")?, Output::new(measurement, "measurement")?) };
        let server = survey.servers.get(index).ok_or_else(|| {
            Failure::argument(format!("index is {index}; allowed: below {}", survey.servers.len()))
        })?;
        output.write(server.result.as_ref().map_err(Clone::clone)?);
        Ok(())
    })
}

/// Whether a server is part of the majority: 1 or 0. A server that was measured but not selected is
/// a falseticker, or there is no majority. 0 for NULL and for an invalid index.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_is_selected(
    survey: *const httptime_survey,
    index: usize,
) -> i32 {
    // SAFETY: the header defines what the pointer points to.
    let survey = unsafe { survey.as_ref() };
    guard_or(0, || {
        let server = survey.and_then(|survey| survey.servers.get(index));
        i32::from(server.is_some_and(|server| server.selected))
    })
}

/// The URL of a server, normalised and without credentials. Valid as long as the survey. NULL for
/// NULL and for an invalid index.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_url(
    survey: *const httptime_survey,
    index: usize,
) -> *const c_char {
    // SAFETY: the header defines what the pointer points to.
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
    // SAFETY: the header requires NULL, or a handle of httptime_survey_run or
    // httptime_session_finish that is not used any more.
    unsafe { free_handle(survey) }
}
