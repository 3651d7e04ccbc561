//! Settings on the command line: every one that hc heeds is an argument, too, as with Nix.
//!
//! They count over what `nix.conf` says, for whoever reads that: see [`crate::nix_conf`].

mod known;

pub use known::{Kind, Part, Setting, find};

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use known::SETTINGS;
use std::collections::BTreeSet;

const OPTION: &str = "option";
const OPTION_HELP: &str = "Change a setting by the name that nix.conf has for it. Settings are arguments, \
     too: --NAME VALUE, --extra-NAME WORDS, --NAME and --no-NAME";
const REFRESH: &str = "refresh";
const OFFLINE: &str = "offline";

/// What `--refresh` and `--offline` stand for.
const SHORT: &[(&str, &[(&str, &str)])] = &[
    (REFRESH, &[("tarball-ttl", "0"), ("narinfo-cache-negative-ttl", "0")]),
    (
        OFFLINE,
        &[("substitute", "false"), ("tarball-ttl", "4294967295"), ("download-attempts", "1")],
    ),
];

/// Arguments for settings. What they say is found by [`given`], wherever they stand.
#[derive(Debug, Clone, Copy, Default)]
pub struct SettingArgs;

impl clap::Args for SettingArgs {
    /// The arguments are made once their verb is the one that was called: all of them, for each verb
    /// that evaluates, would be a millisecond of every call of hc.
    fn augment_args(command: Command) -> Command {
        command.defer(arguments)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn arguments(command: Command) -> Command {
    // What the verb has an argument of its own for is that.
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for argument in command.get_arguments() {
        taken.extend(argument.get_long().map(str::to_owned));
        taken.extend(argument.get_all_aliases().into_iter().flatten().map(str::to_owned));
    }
    let arguments: Vec<Arg> = SETTINGS
        .iter()
        .filter_map(|setting| match setting.part {
            Part::Argument(help) => Some((setting, help)),
            Part::Heeded => Some((setting, "")),
            Part::None => None,
        })
        .flat_map(|(setting, help)| forms(setting, help))
        .filter(|argument| argument.get_long().is_none_or(|long| !taken.contains(long)))
        .collect();
    command
        .next_help_heading("Settings")
        .arg(
            Arg::new(OPTION)
                .long(OPTION)
                .num_args(2)
                .action(ArgAction::Append)
                .value_names(["NAME", "VALUE"])
                .allow_hyphen_values(true)
                .help(OPTION_HELP),
        )
        .arg(
            Arg::new(REFRESH)
                .long(REFRESH)
                .action(ArgAction::SetTrue)
                .help("Ask again what names stand for"),
        )
        .arg(
            Arg::new(OFFLINE)
                .long(OFFLINE)
                .action(ArgAction::SetTrue)
                .conflicts_with(REFRESH)
                .help("Ask again for nothing that was fetched before, and no binary cache"),
        )
        .args(arguments)
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Ok(())
    }
}

/// An argument's name among all, which no field of a verb has.
fn id(name: &str) -> String {
    format!("setting {name}")
}

/// The arguments for one setting.
fn forms(setting: &'static Setting, help: &'static str) -> Vec<Arg> {
    let argument = |name: String| {
        let aliases = setting.aliases.iter().map(|alias| name.replace(setting.name, alias));
        let aliases: Vec<String> = aliases.collect();
        Arg::new(id(&name)).long(name).aliases(aliases).hide(true)
    };
    let name = setting.name.to_owned();
    let listed = |argument: Arg| {
        if help.is_empty() { argument } else { argument.hide(false).help(help) }
    };
    match setting.kind {
        Kind::Switch => vec![
            listed(argument(name)).action(ArgAction::SetTrue),
            argument(format!("no-{}", setting.name)).action(ArgAction::SetTrue),
        ],
        kind => {
            let takes = |argument: Arg| {
                let value = if kind == Kind::Words { "WORDS" } else { "VALUE" };
                argument.action(ArgAction::Append).value_name(value).allow_hyphen_values(true)
            };
            let mut forms = vec![takes(listed(argument(name)))];
            if kind == Kind::Words {
                forms.push(takes(argument(format!("extra-{}", setting.name))));
            }
            forms
        }
    }
}

/// What a command line says of settings, as lines of `nix.conf` would, in its order.
pub fn given(matches: &ArgMatches) -> Vec<(String, String)> {
    let mut leaf = matches;
    while let Some((_, below)) = leaf.subcommand() {
        leaf = below;
    }
    let mut found: Vec<(usize, String, String)> = Vec::new();
    let mut put = |at: usize, name: &str, value: &str| {
        found.push((at, name.to_owned(), value.to_owned()));
    };
    let is_given = |id: &str| {
        leaf.try_contains_id(id).is_ok_and(|there| there)
            && leaf.value_source(id) == Some(clap::parser::ValueSource::CommandLine)
    };
    let values = |id: &str| -> Vec<(usize, String)> {
        if !is_given(id) {
            return Vec::new();
        }
        let indices = leaf.indices_of(id).into_iter().flatten();
        indices.zip(leaf.get_many::<String>(id).into_iter().flatten().cloned()).collect()
    };
    for pair in values(OPTION).chunks_exact(2) {
        put(pair[0].0, &pair[0].1, &pair[1].1);
    }
    for (id, settings) in SHORT {
        if is_given(id) {
            for (name, value) in *settings {
                put(leaf.index_of(id).unwrap_or_default(), name, value);
            }
        }
    }
    for setting in SETTINGS.iter().filter(|setting| setting.part != Part::None) {
        let name = setting.name;
        if setting.kind == Kind::Switch {
            for (id, value) in [(id(name), "true"), (id(&format!("no-{name}")), "false")] {
                if is_given(&id) {
                    put(leaf.index_of(&id).unwrap_or_default(), name, value);
                }
            }
            continue;
        }
        for name in [name.to_owned(), format!("extra-{name}")] {
            for (at, value) in values(&id(&name)) {
                put(at, &name, &value);
            }
        }
    }
    found.sort_by_key(|(at, ..)| *at);
    found.into_iter().map(|(_, name, value)| (name, value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    fn of(words: &str) -> Vec<(String, String)> {
        let command = SettingArgs::augment_args(Command::new("hc"));
        given(&command.get_matches_from(words.split_ascii_whitespace()))
    }

    #[test]
    fn settings_are_sorted_and_have_one_name_each() {
        let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
        assert_eq!(find("build-cores").unwrap().name, "cores");
    }

    #[test]
    fn the_order_of_the_command_line_holds() {
        let found = of(
            "hc --no-warn-dirty --option cores 3 --extra-allowed-uris a: --tarball-ttl 5 --refresh \
             --binary-cache-public-keys k --warn-dirty --option cores 4",
        );
        let found: Vec<String> =
            found.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        assert_eq!(
            found,
            [
                "warn-dirty = false",
                "cores = 3",
                "extra-allowed-uris = a:",
                "tarball-ttl = 5",
                "tarball-ttl = 0",
                "narinfo-cache-negative-ttl = 0",
                "trusted-public-keys = k",
                "warn-dirty = true",
                "cores = 4",
            ]
        );
        assert!(of("hc").is_empty());
        assert_eq!(of("hc --build-cores 2")[0], ("cores".into(), "2".into()));
    }

    #[test]
    fn the_verb_s_own_arguments_stay_its_own() {
        let own = Arg::new("cores").long("cores").value_parser(clap::value_parser!(usize));
        let command = SettingArgs::augment_args(Command::new("hc").arg(own));
        let found = command.get_matches_from(["hc", "--cores", "2", "--max-jobs", "3"]);
        assert_eq!(given(&found), [("max-jobs".into(), "3".into())]);
        assert_eq!(found.get_one::<usize>("cores"), Some(&2));
    }
}
