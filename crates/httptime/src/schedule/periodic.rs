use super::{Plan, Schedule, View};

/// Requests at even distances that fill the time allowed.
///
/// Here to be compared with, and for servers that want an even load. Narrows what is unknown to about a second divided
/// by the number of requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Periodic;

impl Schedule for Periodic {
    fn name(&self) -> &'static str {
        "periodic"
    }

    fn plan(&mut self, view: &View<'_>) -> Plan {
        if view.progress().outstanding() > 0 {
            return Plan::AwaitReply;
        }
        let limits = view.limits();
        Plan::SendAt(view.progress().last_sent().map_or(view.earliest(), |last| {
            last.saturating_add(limits.duration() / limits.requests()).max(view.earliest())
        }))
    }
}
