//! How something is: a shape, a word and a colour, so that nobody needs the colour. Must not know what is judged.

/// How something is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::console) enum Status {
    /// As it should be.
    Healthy,
    /// Somebody should look at it.
    Attention,
    /// It does not work.
    Broken,
    /// Its source is silent, or there is none.
    #[default]
    Unknown,
}

impl Status {
    /// The word beside the shape.
    pub(in crate::console) fn word(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Attention => "Needs attention",
            Self::Broken => "Broken",
            Self::Unknown => "Not known",
        }
    }

    /// The end of its class's name in the style sheet.
    pub(in crate::console) fn class(self) -> &'static str {
        match self {
            Self::Healthy => "ok",
            Self::Attention => "warn",
            Self::Broken => "bad",
            Self::Unknown => "off",
        }
    }
}
