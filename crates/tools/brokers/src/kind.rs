//! The two kinds of broker that the examples need.

use serde::Deserialize;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub enum Kind {
    #[serde(rename = "mqtt")]
    Mosquitto,
    #[serde(rename = "amqp")]
    RabbitMq,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mosquitto => "Mosquitto",
            Kind::RabbitMq => "RabbitMQ",
        }
    }

    /// The program, and the package to install.
    pub fn program(self) -> &'static str {
        match self {
            Kind::Mosquitto => "mosquitto",
            Kind::RabbitMq => "rabbitmq-server",
        }
    }

    /// The variable that tells the examples' programs and tests where the broker is.
    pub fn variable(self) -> &'static str {
        match self {
            Kind::Mosquitto => "MQTT_URL",
            Kind::RabbitMq => "AMQP_URL",
        }
    }

    pub fn standard_port(self) -> u16 {
        match self {
            Kind::Mosquitto => 1883,
            Kind::RabbitMq => 5672,
        }
    }

    pub fn scheme(self) -> &'static str {
        match self {
            Kind::Mosquitto => "mqtt",
            Kind::RabbitMq => "amqp",
        }
    }
}
