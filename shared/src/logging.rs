//! Log lines: their format, and the events they may contain.

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

/// Whether an event may be logged. At `trace`, dependencies log the data they carry: the runtime logs events with
/// tokens and credentials, the SDK requests and responses. No setting enables that.
pub fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    const OURS: [&str; 10] = [
        "larder",
        "larder_engine",
        "larder_local",
        "connect",
        "oauth_callback",
        "get_credentials",
        "pages",
        "put_credentials",
        "connections",
        "refresh",
    ];
    let name = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() < Level::TRACE || OURS.contains(&name)
}

/// Creates a subscriber that writes the members of events and their spans as JSON. The runtime's span adds `requestId` and
/// `xrayTraceId` to every line.
pub fn subscriber<W>(directives: &str, writer: W) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_env_filter(EnvFilter::new(directives))
        .with_writer(writer)
        .finish()
        .with(filter_fn(may_be_logged))
}

#[cfg(test)]
mod tests {
    use crate::testing::Lines;

    #[tokio::test]
    async fn trace_events_of_dependencies_are_never_logged() {
        let work = || async {
            tracing::trace!(target: "lambda_runtime::layers::api_response", body = "TOKEN", "raw JSON event");
            tracing::trace!(target: "aws_smithy_runtime::client::orchestrator", request = "TOKEN", "transmitting");
            tracing::trace!(target: "connections_of_others", "TOKEN");
            tracing::trace!(target: "larder::vault", "ours");
            tracing::debug!(target: "hyper_util::client", "connecting");
        };
        for filter in ["trace", "lambda_runtime=trace,aws_smithy_runtime=trace,larder=trace,hyper_util=debug"] {
            let lines = Lines::of(filter, work()).await;
            let messages: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
            assert_eq!(messages, ["ours", "connecting"], "{filter}");
        }
    }
}
