use httptime::{Client, IoError};
use httptime_sim::loopback::LoopbackServer;
use httptime_sim::{SimStamp, StampDigits};

use crate::args::Demo;
use crate::measure_options::{Given, Misuse};
use crate::{DONE, NOT_MEASURED, USAGE, query, report};

pub(crate) fn run(demo: &Demo) -> u8 {
    let config = match demo.measure_options.config().build() {
        Ok(config) => config,
        Err(error) => {
            report::failure(&Misuse::of(error, Given::CommandLine), &demo.output);
            return USAGE;
        }
    };
    let mut builder = LoopbackServer::builder()
        .skew(demo.skew)
        .delays(demo.delay.0, demo.delay.0)
        .server_header(Some("nginx (demo)".into()));
    if demo.stamp {
        builder = builder.stamp(SimStamp::seconds(StampDigits::Micros));
    }
    let server = match builder.start() {
        Ok(server) => server,
        Err(error) => {
            report::print_error(&format!(
                "cannot start a server on the loopback interface: {}",
                IoError::from(&error)
            ));
            return NOT_MEASURED;
        }
    };
    let builder = Client::builder(server.url()).method(demo.measure_options.method());
    let client = match builder.config(config).build() {
        Ok(client) => client,
        Err(error) => {
            report::failure(&Misuse::of(error, Given::CommandLine), &demo.output);
            return USAGE;
        }
    };
    let survey = query::survey(&client, &demo.output);
    if !report::survey(&survey, None, &demo.output) {
        return NOT_MEASURED;
    }
    if let (false, Ok(measurement)) = (demo.output.json, survey.combined()) {
        report::truth(demo.skew, measurement);
    }
    DONE
}
