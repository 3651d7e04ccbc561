//! `FLAKE#ATTRIBUTE`: what a command line names of a flake.

use crate::error::{Code, Failure};
use crate::evaluation::{failure, here};
use crate::output;
use nix_lang::{Evaluator, FlakeOptions, FlakeRef, Value, parse_attr_path};

/// A flake and where to look in it.
pub struct Installable {
    flake: FlakeRef,
    fragment: String,
}

/// A target without the outputs at its end, as in `hello^out,dev`.
pub fn without_outputs(target: &str) -> &str {
    match target.rsplit_once('^') {
        Some((before, outputs)) if !outputs.contains(['"', '/']) => before,
        _ => target,
    }
}

impl Installable {
    /// From `FLAKE`, `#ATTRIBUTE` or `FLAKE#ATTRIBUTE`, perhaps with `^OUTPUTS`.
    pub fn parse(nix: &Evaluator<'_>, text: &str) -> anyhow::Result<Self> {
        let text = match without_outputs(text) {
            "" => ".".to_owned(),
            text if text.starts_with('#') => format!(".{text}"),
            text => text.to_owned(),
        };
        let (flake, fragment) = nix.flake_reference(&text, &here()).map_err(failure)?;
        Ok(Self { flake, fragment })
    }

    /// The flake itself, with all its outputs.
    pub fn flake<'a>(
        &self,
        nix: &Evaluator<'a>,
        options: &FlakeOptions,
    ) -> anyhow::Result<Value<'a>> {
        let flake = nix.flake_at(&self.flake, options).map_err(failure)?;
        warn_of_settings(nix);
        Ok(flake)
    }

    /// The attribute, looked for in the places where Nix looks.
    pub fn select<'a>(
        &self,
        nix: &Evaluator<'a>,
        options: &FlakeOptions,
    ) -> anyhow::Result<Value<'a>> {
        // `sourceInfo` and its like are not outputs.
        let flake = self.flake(nix, options)?;
        let flake = nix.get(flake, "outputs").map_err(failure)?.unwrap_or(flake);
        let candidates = candidates(&self.fragment, &nix.current_system());
        for candidate in &candidates {
            let path = parse_attr_path(candidate)
                .map_err(|message| Failure::new(Code::Evaluation, message))?;
            if let Some(value) = nix.find_path(flake, &path).map_err(failure)? {
                return nix.force_value(value).map_err(failure);
            }
        }
        let quoted: Vec<String> = candidates.iter().map(|path| format!("'{path}'")).collect();
        let listed = match quoted.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        let message = format!("flake '{}' does not provide attribute {listed}", self.flake);
        let near = candidates
            .iter()
            .filter_map(|path| nix.near_path(flake, &parse_attr_path(path).ok()?))
            .next();
        let failure = Failure::new(Code::Evaluation, message);
        Err(match near {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
        .into())
    }
}

/// The attribute paths that a fragment can mean, best first.
fn candidates(fragment: &str, system: &str) -> Vec<String> {
    if fragment.is_empty() {
        return vec![format!("packages.{system}.default"), format!("defaultPackage.{system}")];
    }
    if let Some(exact) = fragment.strip_prefix('.') {
        return vec![exact.to_owned()];
    }
    vec![
        format!("packages.{system}.{fragment}"),
        format!("legacyPackages.{system}.{fragment}"),
        fragment.to_owned(),
    ]
}

/// Says which settings of the flake that was asked for last have no effect.
pub fn warn_of_settings(nix: &Evaluator<'_>) {
    let settings = nix.ignored_settings();
    if !settings.is_empty() {
        output::warn_once(hc_deploy::ignored_settings(&settings));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_attribute_can_be() {
        assert_eq!(without_outputs("x#a^out,dev"), "x#a");
        assert_eq!(without_outputs("x#a^*"), "x#a");
        assert_eq!(without_outputs("x#\"a^b\""), "x#\"a^b\"");
        assert_eq!(candidates("", "s"), ["packages.s.default", "defaultPackage.s"]);
        assert_eq!(candidates("a", "s"), ["packages.s.a", "legacyPackages.s.a", "a"]);
        assert_eq!(candidates(".a", "s"), ["a"]);
        assert_eq!(candidates(".", "s"), [""]);
    }
}
