//! No private brokers: somebody else's are named by MQTT_URL and AMQP_URL.

use anyhow::{Result, bail};

use crate::Kind;

/// There is none.
pub enum Broker {}

impl Broker {
    pub fn start(kind: Kind) -> Result<Broker> {
        bail!(
            "{} cannot be started on Windows by this tool: start it yourself, and set {}",
            kind.name(),
            kind.variable()
        )
    }

    pub fn start_on(kind: Kind, _port: u16) -> Result<Broker> {
        Broker::start(kind)
    }

    pub fn kind(&self) -> Kind {
        match *self {}
    }

    pub fn url(&self) -> String {
        match *self {}
    }

    pub fn failure(&mut self) -> Option<String> {
        match *self {}
    }
}
