use httptime::client::{Client, Survey};
use httptime::config::Config;

use crate::args::{Output, Query};
use crate::bar::Bar;
use crate::{DONE, NOT_MEASURED, USAGE, report, servers};

pub(crate) fn run(query: &Query) -> u8 {
    let ready = query.servers.measuring.config().and_then(|config| {
        let client = servers::client(&query.servers, &config)?;
        Ok((client, config))
    });
    let (client, config) = match ready {
        Ok(ready) => ready,
        Err(error) => {
            report::failure(&error, &query.output);
            return USAGE;
        }
    };
    let survey = survey(&client, &config, &query.output);
    match report::survey(&survey, &query.output) {
        true => DONE,
        false => NOT_MEASURED,
    }
}

/// Measures, showing how it goes on a terminal or under `--verbose`.
pub(crate) fn survey(client: &Client, config: &Config, output: &Output) -> Survey {
    let mut bar = Bar::new(config.limits(), output);
    let survey = client.survey(|update| bar.show(&update));
    bar.clear();
    survey
}
