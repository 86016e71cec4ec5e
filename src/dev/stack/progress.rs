//! Shows on stderr how servers are fetched and started. Must not write to stdout.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Where progress is shown.
#[derive(Clone, Default)]
pub enum Progress {
    /// Nowhere.
    #[default]
    Quiet,
    /// On stderr, a plain line a step: for logs and pipes.
    Lines,
    /// On stderr, a spinner a step. A clone of the display keeps the caller's own bars in order.
    Spinners(MultiProgress),
}

impl Progress {
    /// Spinners when stderr is a terminal, else plain lines.
    #[must_use]
    pub fn visible() -> Self {
        if std::io::stderr().is_terminal() { Self::Spinners(MultiProgress::new()) } else { Self::Lines }
    }

    /// Begins a step. A step dropped before [`Step::done`] vanishes from the terminal.
    pub(super) fn step(&self, message: impl Into<String>) -> Step {
        let message = message.into();
        let display = match self {
            Self::Quiet => Display::Nothing,
            Self::Lines => Display::Lines,
            Self::Spinners(all) => {
                let style = ProgressStyle::with_template("{spinner:.green} {msg} {elapsed:.dim}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner())
                    .tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", "✓"]);
                let bar = all.add(ProgressBar::new_spinner().with_style(style));
                bar.enable_steady_tick(Duration::from_millis(100));
                Display::Spinner(bar)
            }
        };
        let step = Step { started: Instant::now(), display };
        step.say(message);
        step
    }
}

enum Display {
    Nothing,
    Lines,
    Spinner(ProgressBar),
}

/// One step, with its time.
pub(super) struct Step {
    started: Instant,
    display: Display,
}

impl Step {
    /// Changes what the step says it is doing.
    pub(super) fn say(&self, message: impl Into<String>) {
        let message = message.into();
        match &self.display {
            Display::Nothing => {}
            Display::Lines => eprintln!("{message}"),
            Display::Spinner(bar) => bar.set_message(message),
        }
    }

    /// Ends the step.
    pub(super) fn done(self, message: impl Into<String>) {
        let message = message.into();
        match self.display {
            Display::Nothing => {}
            Display::Lines => eprintln!("{message} ({:.1} s)", self.started.elapsed().as_secs_f64()),
            Display::Spinner(bar) => bar.finish_with_message(message),
        }
    }
}
