//! What a derivation is.

use super::write;
use crate::{
    DerivationError, DerivationOutput, InputDerivation, InputDerivationHash, Output, StoreDir,
    StorePath, StructuredAttrs,
};
use std::collections::{BTreeMap, BTreeSet};

/// How something is built, and from what.
///
/// System, builder, arguments and variables are any bytes, as they are for C++ Nix: a file that is read
/// into one of them may be in any encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derivation {
    pub(super) store_dir: StoreDir,
    pub(super) name: String,
    pub(super) outputs: BTreeMap<String, Output>,
    pub(super) input_derivations: BTreeMap<StorePath, InputDerivation>,
    pub(super) input_sources: BTreeSet<StorePath>,
    pub(super) system: Vec<u8>,
    pub(super) builder: Vec<u8>,
    pub(super) arguments: Vec<Vec<u8>>,
    pub(super) environment: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) structured_attrs: Option<StructuredAttrs>,
}

impl Derivation {
    /// Begins one without outputs, inputs, arguments and variables; `name` is without `.drv`.
    pub fn new(
        name: impl Into<String>,
        system: impl Into<Vec<u8>>,
        builder: impl Into<Vec<u8>>,
    ) -> Self {
        Self::new_in_store(StoreDir::default(), name, system, builder)
    }

    /// The same in another logical store.
    pub fn new_in_store(
        store_dir: StoreDir,
        name: impl Into<String>,
        system: impl Into<Vec<u8>>,
        builder: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            store_dir,
            name: name.into(),
            outputs: BTreeMap::new(),
            input_derivations: BTreeMap::new(),
            input_sources: BTreeSet::new(),
            system: system.into(),
            builder: builder.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            structured_attrs: None,
        }
    }

    /// With an output.
    #[must_use]
    pub fn output(mut self, name: impl Into<String>, output: Output) -> Self {
        self.outputs.insert(name.into(), output);
        self
    }

    /// With an output whose path follows from the derivation, once it is finished.
    #[must_use]
    pub fn input_addressed_output(self, name: impl Into<String>) -> Self {
        self.output(name, Output::Deferred)
    }

    /// With an input that is built, and what is asked of it.
    #[must_use]
    pub fn input_derivation(mut self, path: StorePath, input: InputDerivation) -> Self {
        self.input_derivations.insert(path, input);
        self
    }

    /// With an input that is in the store.
    #[must_use]
    pub fn input_source(mut self, path: StorePath) -> Self {
        self.input_sources.insert(path);
        self
    }

    /// With one more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<Vec<u8>>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// With a variable.
    #[must_use]
    pub fn set(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// With structured attributes.
    #[must_use]
    pub fn with_structured_attrs(mut self, attrs: StructuredAttrs) -> Self {
        self.structured_attrs = Some(attrs);
        self
    }

    /// Finishes it, as `make` does, but for input derivations, which are taken for ones that have
    /// to be built to be known: then its outputs have no paths yet.
    ///
    /// # Errors
    /// When it is not right.
    pub fn build(self) -> Result<Self, DerivationError> {
        let deferred = |_: &StorePath| Ok::<_, DerivationError>(InputDerivationHash::Deferred);
        super::settle::settle(self, deferred).map_err(super::modulo::unwrap_resolution)
    }

    /// The name, without `.drv`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The logical store.
    #[must_use]
    pub fn store_dir(&self) -> &StoreDir {
        &self.store_dir
    }

    /// The outputs by name.
    #[must_use]
    pub fn outputs(&self) -> &BTreeMap<String, Output> {
        &self.outputs
    }

    /// The inputs that are built, with what is asked of them.
    #[must_use]
    pub fn input_derivations(&self) -> &BTreeMap<StorePath, InputDerivation> {
        &self.input_derivations
    }

    /// The inputs that are in the store.
    #[must_use]
    pub fn input_sources(&self) -> &BTreeSet<StorePath> {
        &self.input_sources
    }

    /// What it is built on, such as `x86_64-linux`.
    #[must_use]
    pub fn system(&self) -> &[u8] {
        &self.system
    }

    /// The program.
    #[must_use]
    pub fn builder(&self) -> &[u8] {
        &self.builder
    }

    /// The program's arguments.
    #[must_use]
    pub fn arguments(&self) -> &[Vec<u8>] {
        &self.arguments
    }

    /// The program's variables.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.environment
    }

    /// One of them.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.environment.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// Structured attributes, where it has these instead of variables.
    #[must_use]
    pub fn structured_attrs(&self) -> Option<&StructuredAttrs> {
        self.structured_attrs.as_ref()
    }

    /// The outputs, to be changed.
    pub fn outputs_mut(&mut self) -> &mut BTreeMap<String, Output> {
        &mut self.outputs
    }

    /// The inputs that are built, to be changed.
    pub fn input_derivations_mut(&mut self) -> &mut BTreeMap<StorePath, InputDerivation> {
        &mut self.input_derivations
    }

    /// The inputs that are in the store, to be changed.
    pub fn input_sources_mut(&mut self) -> &mut BTreeSet<StorePath> {
        &mut self.input_sources
    }

    /// The arguments, to be changed.
    pub fn arguments_mut(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.arguments
    }

    /// The variables, to be changed.
    pub fn environment_mut(&mut self) -> &mut BTreeMap<Vec<u8>, Vec<u8>> {
        &mut self.environment
    }

    /// The structured attributes, to be changed.
    pub fn structured_attrs_mut(&mut self) -> &mut Option<StructuredAttrs> {
        &mut self.structured_attrs
    }

    /// The path of each output that has one before it is built, and what is known of what it holds.
    ///
    /// # Errors
    /// When the name of one cannot be that of a path.
    pub fn resolved_outputs(&self) -> Result<BTreeMap<String, DerivationOutput>, DerivationError> {
        let one = |(name, output): (&String, &Output)| {
            let path = output.path_in(&self.store_dir, &self.name, name)?;
            let ca_hash = output.fixed_content_address().cloned();
            Ok((name.clone(), DerivationOutput { path, ca_hash }))
        };
        self.outputs.iter().map(one).collect()
    }

    /// Whether what it makes is known by its hash.
    #[must_use]
    pub fn is_fixed_output(&self) -> bool {
        !self.outputs.is_empty()
            && self.outputs.values().all(|output| matches!(output, Output::Fixed { .. }))
    }

    /// What is in its file.
    #[must_use]
    pub fn to_aterm_bytes(&self) -> Vec<u8> {
        write::write(self, None, false)
    }

    /// Where its file is.
    ///
    /// # Errors
    /// When its name cannot be that of a path.
    pub fn drv_path(&self) -> Result<StorePath, DerivationError> {
        let references: Vec<StorePath> =
            self.input_derivations.keys().chain(&self.input_sources).cloned().collect();
        let name = format!("{}.drv", self.name);
        Ok(self.store_dir.build_text_path(&name, &self.to_aterm_bytes(), &references)?)
    }
}
