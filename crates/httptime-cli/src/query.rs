use httptime::Client;
use httptime::survey::Survey;

use crate::args::{Output, Query};
use crate::bar::Bar;
use crate::measure_options::Given;
use crate::{DONE, NOT_MEASURED, USAGE, logging, report};

pub(crate) fn run(query: &Query) -> u8 {
    let ready = query.servers.ready(query.servers.config(), Given::CommandLine);
    let (client, via) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            report::failure(&error, &query.output);
            return USAGE;
        }
    };
    let survey = query.retry.survey(&query.output, || survey(&client, &query.output));
    match report::survey(&survey, via.as_ref(), &query.output) {
        true => DONE,
        false => {
            report::via(via.as_ref(), &query.output);
            NOT_MEASURED
        }
    }
}

/// Measures. Shows progress on a terminal or with `--verbose`.
pub(crate) fn survey(client: &Client, output: &Output) -> Survey {
    let mut bar = Bar::new(client, output);
    let urls: Vec<_> = client.urls().cloned().collect();
    let survey = client.survey(|update| {
        logging::update(&urls, &update);
        bar.show(&update);
    });
    bar.clear();
    survey
}
