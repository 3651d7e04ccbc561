//! GitHub, GitLab and SourceHut: commits by their API, trees as archives.

use crate::error::{Error, Result, io, words};
use crate::{Content, Fetcher, Tree};
use nix_compat::flake_ref::{Attr, Input};
use nix_store::http::Request;
use serde_json::{Map, Value as Json};

/// An address with the headers to ask it with.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    url: String,
    headers: Vec<(String, String)>,
}

fn host(input: &Input) -> &str {
    input.text("host").unwrap_or(match input.kind() {
        "github" => "github.com",
        "gitlab" => "gitlab.com",
        _ => "git.sr.ht",
    })
}

fn part<'i>(input: &'i Input, name: &str) -> &'i str {
    input.text(name).unwrap_or_default()
}

impl Fetcher {
    pub(crate) fn fetch_forge(&self, input: &Input) -> Result<Tree> {
        let mut locked = input.clone();
        let rev = match input.rev()? {
            Some(rev) => rev,
            None => self.forge_rev(input, input.text("ref").unwrap_or("HEAD"))?,
        };
        locked.attrs_mut().remove("ref");
        locked.attrs_mut().insert("rev".into(), rev.as_str().into());
        let key = format!("forge {rev}");
        let _lock = self.cache.lock(&key)?;
        if let Some(record) = self.cache.record(&key)
            && let (Some(hash), Some(modified)) = (record.hash("hash"), record.int("lastModified"))
            && let Some(path) = self.cache.named_tree(&hash, input.name())?
        {
            locked.attrs_mut().insert("lastModified".into(), Attr::Int(modified));
            return Ok(Tree { input: locked, content: Content::Kept { path, hash }, facts: &[] });
        }
        let address = self.archive(&locked, &rev);
        let scratch = self.cache.scratch()?;
        let file = scratch.path().join("archive");
        let request = Request { url: &address.url, headers: &address.headers, etag: None };
        self.client.download(&request, &file).map_err(words)?;
        let (path, hash, modified) = self.keep_archive(&file, &address.url, input.name())?;
        let mut facts = Map::new();
        facts.insert("hash".into(), Json::from(hash.to_sri_string()));
        facts.insert("lastModified".into(), Json::from(modified));
        self.cache.set_record(&key, facts)?;
        locked.attrs_mut().insert("lastModified".into(), Attr::Int(modified));
        Ok(Tree { input: locked, content: Content::Kept { path, hash }, facts: &[] })
    }

    /// The token for a repository: the one for the longest part of its address.
    fn headers(&self, input: &Input) -> Vec<(String, String)> {
        let whole = format!("{}/{}/{}", host(input), part(input, "owner"), part(input, "repo"));
        let fits =
            |of: &str| whole.strip_prefix(of).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        let tokens = self.config.access_tokens.iter().filter(|(of, _)| fits(of));
        let Some((_, token)) = tokens.max_by_key(|(of, _)| of.len()) else { return Vec::new() };
        let header = |name: &str, value: String| vec![(name.to_owned(), value)];
        match input.kind() {
            "github" => header("Authorization", format!("token {token}")),
            "gitlab" => match token.split_once(':') {
                Some(("OAuth2", token)) => header("Authorization", format!("Bearer {token}")),
                Some(("PAT", token)) => header("Private-token", token.to_owned()),
                Some((name, value)) => header(name, value.to_owned()),
                None => {
                    self.warn(&format!("Unrecognized GitLab token type {token}"));
                    Vec::new()
                }
            },
            _ => header("Authorization", format!("Bearer {token}")),
        }
    }

    /// Where the archive of a commit is.
    fn archive(&self, input: &Input, rev: &str) -> Address {
        let headers = self.headers(input);
        let (host, owner, repo) = (host(input), part(input, "owner"), part(input, "repo"));
        let url = match input.kind() {
            "github" if host != "github.com" => {
                format!("https://{host}/api/v3/repos/{owner}/{repo}/tarball/{rev}")
            }
            // Without a token, the addresses that are not counted against a limit.
            "github" if headers.is_empty() => {
                format!("https://{host}/{owner}/{repo}/archive/{rev}.tar.gz")
            }
            "github" => format!("https://api.{host}/repos/{owner}/{repo}/tarball/{rev}"),
            "gitlab" => format!(
                "https://{host}/api/v4/projects/{owner}%2F{repo}/repository/archive.tar.gz?sha={rev}"
            ),
            _ => format!("https://{host}/{owner}/{repo}/archive/{rev}.tar.gz"),
        };
        Address { url, headers }
    }

    /// What says which commit a branch or tag is.
    fn commit_url(&self, input: &Input, name: &str) -> String {
        let (host, owner, repo) = (host(input), part(input, "owner"), part(input, "repo"));
        match input.kind() {
            "github" if host == "github.com" => {
                format!("https://api.{host}/repos/{owner}/{repo}/commits/{name}")
            }
            "github" => format!("https://{host}/api/v3/repos/{owner}/{repo}/commits/{name}"),
            "gitlab" => format!(
                "https://{host}/api/v4/projects/{owner}%2F{repo}/repository/commits?ref_name={name}"
            ),
            _ => format!("https://{host}/{owner}/{repo}"),
        }
    }

    fn text(&self, url: &str, headers: &[(String, String)]) -> Result<String> {
        let file = self.download_named(url, "source", headers)?;
        std::fs::read_to_string(&file.path).map_err(io("reading", &file.path))
    }

    fn forge_rev(&self, input: &Input, name: &str) -> Result<String> {
        let (url, headers) = (self.commit_url(input, name), self.headers(input));
        if input.kind() == "sourcehut" {
            return self.sourcehut_rev(input, &url, name, &headers);
        }
        let text = self.text(&url, &headers)?;
        let wrong = || Error::Input(format!("Unexpected response received from {url}: {text}"));
        let json: Json = serde_json::from_str(&text).map_err(|_| wrong())?;
        let found = match (&json, input.kind()) {
            (json, "github") => json.get("sha"),
            (Json::Array(commits), _) if commits.is_empty() => {
                return Err(Error::Input(
                    "No commits returned by GitLab API -- does the git ref really exist?".into(),
                ));
            }
            (Json::Array(commits), _) => commits[0].get("id"),
            _ => None,
        };
        let rev = found.and_then(Json::as_str).ok_or_else(wrong)?;
        if nix_compat::flake_ref::is_revision(rev) { Ok(rev.to_owned()) } else { Err(wrong()) }
    }

    fn sourcehut_rev(
        &self,
        input: &Input,
        base: &str,
        name: &str,
        headers: &[(String, String)],
    ) -> Result<String> {
        let missing =
            || Error::Input(format!("in '{}', couldn't find ref '{name}'", input.describe()));
        let wanted = if name == "HEAD" {
            let text = self.text(&format!("{base}/HEAD"), headers)?;
            let target = text.lines().next().and_then(|line| line.strip_prefix("ref:"));
            vec![target.ok_or_else(missing)?.trim().to_owned()]
        } else {
            vec![format!("refs/heads/{name}"), format!("refs/tags/{name}")]
        };
        let text = self.text(&format!("{base}/info/refs"), headers)?;
        let mut lines = text.lines().filter_map(|line| line.split_once(char::is_whitespace));
        let found = lines.find(|(_, name)| wanted.iter().any(|wanted| wanted == name.trim()));
        found.map(|(rev, _)| rev.to_owned()).ok_or_else(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use nix_compat::flake_ref::FlakeRef;

    fn input(text: &str) -> Input {
        FlakeRef::parse(text, true, false).expect("a reference").input
    }

    #[test]
    fn addresses() {
        let fetcher = Fetcher::new(Config::new("/nowhere".into()));
        for (text, archive, commit) in [
            (
                "github:a/b",
                "https://github.com/a/b/archive/R.tar.gz",
                "https://api.github.com/repos/a/b/commits/main",
            ),
            (
                "github:a/b?host=git.example.org",
                "https://git.example.org/api/v3/repos/a/b/tarball/R",
                "https://git.example.org/api/v3/repos/a/b/commits/main",
            ),
            (
                "gitlab:a/b",
                "https://gitlab.com/api/v4/projects/a%2Fb/repository/archive.tar.gz?sha=R",
                "https://gitlab.com/api/v4/projects/a%2Fb/repository/commits?ref_name=main",
            ),
            ("sourcehut:~a/b", "https://git.sr.ht/~a/b/archive/R.tar.gz", "https://git.sr.ht/~a/b"),
        ] {
            let input = input(text);
            assert_eq!(fetcher.archive(&input, "R").url, archive);
            assert_eq!(fetcher.commit_url(&input, "main"), commit);
        }
    }

    #[test]
    fn the_most_exact_token_is_used() {
        let mut config = Config::new("/nowhere".into());
        for (of, token) in
            [("github.com", "any"), ("github.com/a/b", "mine"), ("gitlab.com", "PAT:x")]
        {
            config.access_tokens.insert(of.into(), token.into());
        }
        let fetcher = Fetcher::new(config);
        let header = |text: &str| fetcher.headers(&input(text)).pop();
        let pair = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(header("github:a/b"), pair("Authorization", "token mine"));
        assert_eq!(header("github:a/bb"), pair("Authorization", "token any"));
        assert_eq!(header("gitlab:a/b"), pair("Private-token", "x"));
        assert_eq!(header("sourcehut:~a/b"), None);
        let archive = fetcher.archive(&input("github:a/b"), "R");
        assert_eq!(archive.url, "https://api.github.com/repos/a/b/tarball/R");
    }
}
