use super::{Reader, Realisation, RealisationId, Result, Writer, malformed};
use std::collections::BTreeMap;
use std::io::{Read, Write};

/// How a build ended. The numbers are those on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of C++ Nix and say it")]
pub enum BuildStatus {
    Built = 0,
    Substituted = 1,
    AlreadyValid = 2,
    PermanentFailure = 3,
    InputRejected = 4,
    OutputRejected = 5,
    TransientFailure = 6,
    CachedFailure = 7,
    TimedOut = 8,
    MiscFailure = 9,
    DependencyFailed = 10,
    LogLimitExceeded = 11,
    NotDeterministic = 12,
    ResolvesToAlreadyValid = 13,
    NoSubstituters = 14,
}

impl BuildStatus {
    pub(crate) const ALL: [Self; 15] = [
        Self::Built,
        Self::Substituted,
        Self::AlreadyValid,
        Self::PermanentFailure,
        Self::InputRejected,
        Self::OutputRejected,
        Self::TransientFailure,
        Self::CachedFailure,
        Self::TimedOut,
        Self::MiscFailure,
        Self::DependencyFailed,
        Self::LogLimitExceeded,
        Self::NotDeterministic,
        Self::ResolvesToAlreadyValid,
        Self::NoSubstituters,
    ];

    /// Whether the outputs are there.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(
            self,
            Self::Built | Self::Substituted | Self::AlreadyValid | Self::ResolvesToAlreadyValid
        )
    }

    fn from_number(number: u64) -> Result<Self> {
        usize::try_from(number)
            .ok()
            .and_then(|i| Self::ALL.get(i).copied())
            .ok_or_else(|| malformed(format!("{number} is no status of a build")))
    }
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildResult {
    /// How it ended.
    pub status: BuildStatus,
    /// Why, where it failed.
    pub error: String,
    /// How often it was built.
    pub times_built: u32,
    /// Whether building again gave something else.
    pub non_deterministic: bool,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// When it ended, in seconds since 1970.
    pub stopped: u64,
    /// Processor time of the builder in microseconds, (user, system); from version 1.37 on.
    pub cpu: (Option<u64>, Option<u64>),
    /// Where the outputs are.
    pub outputs: BTreeMap<RealisationId, Realisation>,
}

impl BuildResult {
    /// A result that says no more than its status.
    #[must_use]
    pub const fn new(status: BuildStatus) -> Self {
        Self {
            status,
            error: String::new(),
            times_built: 0,
            non_deterministic: false,
            started: 0,
            stopped: 0,
            cpu: (None, None),
            outputs: BTreeMap::new(),
        }
    }
}

impl<R: Read> Reader<R> {
    /// The result of a build; `cpu` says whether the version has processor times.
    ///
    /// # Errors
    /// When it makes no sense, or the connection ends.
    pub fn build_result(&mut self, cpu: bool) -> Result<BuildResult> {
        let status = BuildStatus::from_number(self.number()?)?;
        let error = self.text()?;
        let times_built = self.small()?;
        let non_deterministic = self.bool()?;
        let (started, stopped) = (self.number()?, self.number()?);
        let cpu =
            if cpu { (self.optional_number()?, self.optional_number()?) } else { (None, None) };
        let outputs = self
            .many(|r| Ok((RealisationId::parse(&r.string()?)?, r.realisation()?)))?
            .into_iter()
            .collect();
        Ok(BuildResult {
            status,
            error,
            times_built,
            non_deterministic,
            started,
            stopped,
            cpu,
            outputs,
        })
    }

    fn optional_number(&mut self) -> Result<Option<u64>> {
        match self.number()? {
            0 => Ok(None),
            1 => self.number().map(Some),
            tag => Err(malformed(format!("{tag} is neither none (0) nor some (1)"))),
        }
    }
}

impl<W: Write> Writer<W> {
    /// The result of a build; `cpu` says whether the version has processor times.
    ///
    /// # Errors
    /// When the connection broke.
    pub fn build_result(&mut self, result: &BuildResult, cpu: bool) -> Result<()> {
        self.number(result.status as u64)?;
        self.bytes(&result.error)?;
        self.number(result.times_built.into())?;
        self.bool(result.non_deterministic)?;
        self.number(result.started)?;
        self.number(result.stopped)?;
        if cpu {
            for time in [result.cpu.0, result.cpu.1] {
                self.bool(time.is_some())?;
                if let Some(time) = time {
                    self.number(time)?;
                }
            }
        }
        self.many(&result.outputs, |w, (id, realisation)| {
            w.bytes(id.to_string())?;
            w.realisation(realisation)
        })
    }
}
