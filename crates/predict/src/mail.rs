//! A mail as it reaches a predictor.

/// One mail to label.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its text.
    pub content: Content,
    /// The broker it concerns, if known.
    pub broker: Option<String>,
}

/// Where a mail's text stands.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Subject and body, as datasets and helpdesks hold them. The body may be plain text or HTML.
    Parts {
        /// The subject line, decoded.
        subject: String,
        /// The body.
        body: String,
    },
    /// The whole message as it came over the wire (RFC 5322).
    Raw(Vec<u8>),
    /// What a model reads, word for word: a text that was cleaned already.
    Clean(String),
}

impl Mail {
    /// A mail of subject and body.
    pub fn new(subject: impl Into<String>, body: impl Into<String>) -> Self {
        Self {
            content: Content::Parts {
                subject: subject.into(),
                body: body.into(),
            },
            broker: None,
        }
    }

    /// Bytes of text it brings.
    pub fn bytes(&self) -> usize {
        match &self.content {
            Content::Parts { subject, body } => subject.len() + body.len(),
            Content::Raw(raw) => raw.len(),
            Content::Clean(text) => text.len(),
        }
    }
}

/// Prints the size, never the text.
impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mail[{} bytes]", self.bytes())
    }
}
