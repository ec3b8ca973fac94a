//! Figures of long connections, over which presses on cards arrive.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Channel, Metrics};

/// What is counted about them.
#[derive(Debug, Default)]
pub(super) struct LineFigures {
    connected: Family<Channel, Gauge>,
    reconnects: Family<Channel, Counter>,
}

impl LineFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "1 while this process has the long connection over which presses on a Feishu app's cards arrive";
        registry.register("long_connection_up", help, self.connected.clone());
        let help = "Times a long connection was dialled again, because it ended, went silent or did not come about";
        registry.register("long_connection_reconnects", help, self.reconnects.clone());
    }
}

impl Metrics {
    /// Whether a channel's long connection stands.
    pub fn long_connection(&self, channel: &str, stands: bool) {
        let channel = Channel { channel: self.names.keep("channel", channel) };
        self.lines.connected.get_or_create(&channel).set(i64::from(stands));
        // There at zero, so that its rate can be asked for.
        let _ = self.lines.reconnects.get_or_create(&channel);
    }

    /// A channel's long connection is dialled again.
    pub fn long_connection_redialled(&self, channel: &str) {
        let channel = Channel { channel: self.names.keep("channel", channel) };
        self.lines.reconnects.get_or_create(&channel).inc();
    }
}
