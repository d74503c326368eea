//! What is logged, and how it looks.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::{Config, LogFormat};

/// Libraries that log tokens and the texts of messages at debug level. Whatever the settings say, no more of them
/// is logged than info.
const TALKATIVE: [&str; 4] = ["socketioxide", "engineioxide", "tungstenite", "tokio_tungstenite"];

/// Starts logging to standard output. The first call in a process counts.
pub fn start(config: &Config) {
    let terminal = std::io::stdout().is_terminal();
    let format = config.log_format.unwrap_or(match config.is_production() && !terminal {
        true => LogFormat::Json,
        false => LogFormat::Human,
    });
    // Checked when the settings were read.
    let wanted = EnvFilter::try_new(&config.log_filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let filter = wanted.and(discreet());
    let lines = fmt::layer().with_writer(std::io::stdout);
    let lines = match format {
        LogFormat::Human => lines.with_ansi(terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // It fails when a host program or a test has started logging already, which then is as they want it.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

fn discreet() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    // Without the hint the two filters together have none either, and every record of every library is asked about
    // each time it is passed by.
    FilterFn::new(is_discreet as fn(&Metadata<'_>) -> bool).with_max_level_hint(LevelFilter::TRACE)
}

fn is_discreet(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !TALKATIVE.contains(&library)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn libraries_that_log_tokens_are_held_back_whatever_the_settings_say() {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = EnvFilter::new("trace,engineioxide::socket=trace").and(discreet());
        let layer = fmt::layer().with_writer(move || writer.clone()).with_filter(filter);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::debug!(target: "engineioxide::socket", "token one");
            tracing::trace!(target: "socketioxide", "token two");
            tracing::info!(target: "socketioxide", "started");
            tracing::debug!(target: "priyo_core", "ours");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("started") && text.contains("ours"), "{text}");
        assert!(!text.contains("token"), "{text}");
    }
}
