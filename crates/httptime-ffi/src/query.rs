use std::ffi::c_char;

use httptime::Client;
use httptime::Update;
use httptime::session::Event;
use httptime::survey::Survey;

use crate::boundary::{Output, guard, hand_over, target};
use crate::failure::Failure;
use crate::measurement::httptime_measurement;
use crate::options::{ProgressCallback, Settings, httptime_options};
use crate::progress::httptime_progress;
use crate::status::httptime_status;
use crate::survey::httptime_survey;
use crate::urls::urls;

/// Measures one server, or several and selects among them. Blocks until the result exists. Never
/// changes a clock.
///
/// urls: count texts, "http://host:port/path" or "https://...", port and path only if needed. count: 1 to
/// HTTPTIME_MAX_SERVERS; with several, the majority decides. options: NULL for the defaults.
/// measurement: its struct_size set by the caller; written only on HTTPTIME_OK. Fails with
/// HTTPTIME_ERROR_INVALID_ARGUMENT, _INVALID_URL, _INVALID_CONFIG before anything is sent, and with
/// 4 to 55. Any thread, several at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_query(
    urls: *const *const c_char,
    count: usize,
    options: *const httptime_options,
    measurement: *mut httptime_measurement,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to, and that it stays valid during the
        // call.
        let (urls, settings, output) = unsafe {
            (
                self::urls(urls, count)?,
                Settings::of(options)?,
                Output::new(measurement, "measurement")?,
            )
        };
        let survey = survey(&urls, settings)?;
        output.write(&survey.combined().map_err(Clone::clone)?.into());
        Ok(())
    })
}

/// As httptime_query, and keeps the result of each server. HTTPTIME_OK only means that they were
/// measured: the status of httptime_survey_combined is that of the result.
///
/// survey: set to the new handle, which you must free with httptime_survey_free. The rest as for
/// httptime_query.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn httptime_survey_run(
    urls: *const *const c_char,
    count: usize,
    options: *const httptime_options,
    survey: *mut *mut httptime_survey,
) -> httptime_status {
    guard(|| {
        // SAFETY: the header defines what the pointers point to, and that it stays valid during the
        // call.
        let (urls, settings) = unsafe { (self::urls(urls, count)?, Settings::of(options)?) };
        let place = target(survey, "survey")?;
        hand_over(httptime_survey::from(&self::survey(&urls, settings)?), place);
        Ok(())
    })
}

fn survey(urls: &[&str], settings: Settings<'_>) -> Result<Survey, Failure> {
    let Settings {
        config,
        proxy,
        tunnel,
        method,
        user_agent,
        source_address,
        interface,
        canceller,
        progress,
        tls,
    } = settings;
    let (first, others) =
        urls.split_first().ok_or_else(|| Failure::argument("urls is empty; give at least one"))?;
    let mut builder = Client::builder(*first)
        .servers(others.iter().copied())
        .tunnel(tunnel)
        .method(method)
        .config(config);
    if let Some(proxy) = proxy {
        builder = builder.proxy(proxy);
    }
    if let Some(user_agent) = user_agent {
        builder = builder.user_agent(user_agent);
    }
    if let Some(address) = source_address {
        builder = builder.source_address(address);
    }
    if let Some(interface) = interface {
        builder = builder.interface(interface);
    }
    #[cfg(feature = "https")]
    {
        if let Some(tls) = tls.build(urls, proxy)? {
            builder = builder.tls(tls);
        }
    }
    #[cfg(not(feature = "https"))]
    let _ = tls;
    let client = builder.build()?;
    let watch = |update: Update<'_>| {
        let (Some(ProgressCallback { callback, user_data }), Event::Answered { .. }) =
            (progress, update.event())
        else {
            return;
        };
        let server = u32::try_from(update.server()).unwrap_or(u32::MAX);
        let progress = httptime_progress::new(server, update.progress(), update.estimate());
        if let Some(progress) = progress {
            // SAFETY: the header defines the arguments, and that the caller's pointer is passed on.
            unsafe { callback(&raw const progress, user_data) }
        }
    };
    Ok(match canceller {
        Some(canceller) => client.survey_until(canceller, watch),
        None => client.survey(watch),
    })
}
