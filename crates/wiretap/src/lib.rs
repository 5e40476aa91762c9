//! Shows every message that crosses the network between a client and a server, and
//! breaks it on purpose.

pub mod dissect;
