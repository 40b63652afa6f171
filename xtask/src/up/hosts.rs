//! The hosts that packages may come from in a demo.

/// Where package URLs may point to.
pub struct Hosts {
    /// On this machine or in its network; the sample's host is the first of them.
    pub private: Vec<String>,
    /// Elsewhere.
    pub public: Vec<String>,
}

impl Hosts {
    /// The sample's `host:port`, and more.
    pub fn new(sample: String, private: &[String], public: &[String]) -> Self {
        Self { private: [&[sample], private].concat(), public: public.to_vec() }
    }

    /// The sample's.
    pub fn sample(&self) -> &str {
        self.private.first().map_or("", String::as_str)
    }

    /// All of them, the private ones first.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        self.private.iter().chain(&self.public).map(String::as_str)
    }
}
