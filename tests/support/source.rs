//! Reads the product's Rust as tokens: which paths a file names, how long its functions are. Tests and comments
//! in it do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The product's crate, as its own programs name it.
const LIBRARY: &str = "cognito_user_sync";

/// A file of `src/`.
#[derive(Debug)]
pub struct Source {
    /// Below `src/`.
    pub path: String,
    pub text: String,
    /// Without comments and without what is compiled for tests only.
    pub tokens: Vec<TokenTree>,
}

/// The folder of the product's sources.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src")
}

/// Every file below `src/` with this extension, by its path.
pub fn files(extension: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.insert(name, std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found
}

/// Every Rust file of the product, without those that are compiled for tests only (`mod tests;`).
pub fn sources() -> Vec<Source> {
    let product = files("rs").into_iter().filter(|(path, _)| !path.ends_with("/tests.rs"));
    product.map(|(path, text)| Source::parse(&path, text)).collect()
}

impl Source {
    /// Reads a text as if it was the file at `path`.
    pub fn parse(path: &str, text: String) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text, tokens: product_tokens(tokens) }
    }

    /// The file's place: `store::tables::users` for `store/tables/users.rs`, `store` for `store/mod.rs`.
    pub fn place(&self) -> String {
        self.path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::")
    }

    /// The absolute paths that the file names: `crate::…` for the product, else a crate's name first.
    pub fn names(&self) -> BTreeSet<String> {
        let place = self.place();
        let is_root = place == "lib" || place == "main" || place.starts_with("bin::");
        let mut module = vec!["crate".to_owned()];
        if !is_root {
            module.extend(place.split("::").map(str::to_owned));
        }
        let mut names = BTreeSet::new();
        Module::read(module, &self.tokens).collect(&self.tokens, &mut names);
        names
    }

    /// Each function's name, first line and number of lines.
    pub fn functions(&self) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        collect_functions(&self.tokens, &mut found);
        found
    }
}

/// The tokens of what a build without tests compiles; groups keep their place in the file.
fn product_tokens(tokens: TokenStream) -> Vec<TokenTree> {
    let mut tokens = tokens.into_iter().peekable();
    let mut kept = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '!') {
                    tokens.next();
                }
                match tokens.peek() {
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
                        let attribute = group.stream().to_string().replace(' ', "");
                        tokens.next();
                        if attribute == "cfg(test)" || attribute == "test" {
                            skip_item(&mut tokens);
                        }
                    }
                    _ => kept.push(TokenTree::Punct(punct)),
                }
            }
            TokenTree::Group(group) => {
                let mut inner =
                    Group::new(group.delimiter(), product_tokens(group.stream()).into_iter().collect());
                inner.set_span(group.span());
                kept.push(TokenTree::Group(inner));
            }
            other => kept.push(other),
        }
    }
    kept
}

/// Passes over an item: to its body, or to its semicolon.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    let mut ends_at_body = true;
    for (at, token) in tokens.enumerate() {
        match token {
            TokenTree::Ident(word) if word == "use" || word == "const" || word == "static" => {
                ends_at_body = false
            }
            TokenTree::Ident(word) if word == "let" && at == 0 => ends_at_body = false,
            TokenTree::Ident(word) if word == "fn" => ends_at_body = true,
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace && ends_at_body => return,
            TokenTree::Punct(punct) if punct.as_char() == ';' => return,
            _ => {}
        }
    }
}

/// A module's own names.
struct Module {
    path: Vec<String>,
    /// What `use` brings in: the short name and what it stands for.
    imports: BTreeMap<String, Vec<String>>,
    children: BTreeSet<String>,
}

impl Module {
    fn read(path: Vec<String>, tokens: &[TokenTree]) -> Self {
        let mut module = Self { path, imports: BTreeMap::new(), children: BTreeSet::new() };
        for pair in tokens.windows(2) {
            if let [TokenTree::Ident(word), TokenTree::Ident(name)] = pair
                && word == "mod"
            {
                module.children.insert(name.to_string());
            }
        }
        module.read_imports(tokens);
        module
    }

    fn read_imports(&mut self, tokens: &[TokenTree]) {
        let mut rest = tokens;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first {
                TokenTree::Ident(word) if word == "use" => {
                    let end = after.iter().position(|token| is_punct(token, ';')).unwrap_or(after.len());
                    for (path, name) in use_tree(&after[..end]) {
                        let path = self.absolute(&path);
                        self.imports.insert(name, path);
                    }
                    rest = &after[end..];
                }
                // An inline module reads its own.
                TokenTree::Ident(word) if word == "mod" && after.get(1).is_some_and(is_block) => {
                    rest = &after[2..]
                }
                TokenTree::Group(group) => self.read_imports(&group.stream().into_iter().collect::<Vec<_>>()),
                _ => {}
            }
        }
    }

    /// What a path stands for, from the crate's root or from another crate.
    fn absolute(&self, path: &[String]) -> Vec<String> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let start = match first.as_str() {
            "crate" | LIBRARY => vec!["crate".to_owned()],
            "self" => self.path.clone(),
            "super" => {
                let up = path.iter().take_while(|segment| *segment == "super").count();
                let parent = self.path[..self.path.len() - up].to_vec();
                return [parent.as_slice(), &path[up..]].concat();
            }
            first if self.imports.contains_key(first) => self.imports[first].clone(),
            first if self.children.contains(first) => [self.path.as_slice(), &[first.to_owned()]].concat(),
            first => vec![first.to_owned()],
        };
        [start.as_slice(), rest].concat()
    }

    fn collect(&self, tokens: &[TokenTree], names: &mut BTreeSet<String>) {
        let mut rest = tokens;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            match first {
                TokenTree::Ident(word) if word == "use" => {
                    let end = after.iter().position(|token| is_punct(token, ';')).unwrap_or(after.len());
                    names.extend(
                        use_tree(&after[..end]).iter().map(|(path, _)| self.absolute(path).join("::")),
                    );
                    rest = &after[end..];
                }
                TokenTree::Ident(word) if word == "mod" => {
                    if let [TokenTree::Ident(name), TokenTree::Group(body), ..] = after {
                        let body: Vec<TokenTree> = body.stream().into_iter().collect();
                        let path = [self.path.as_slice(), &[name.to_string()]].concat();
                        Self::read(path, &body).collect(&body, names);
                        rest = &after[2..];
                    }
                }
                // `pub(in crate::store)` names nothing.
                TokenTree::Ident(word) if word == "pub" => {
                    if after.first().is_some_and(|token| is_group(token, Delimiter::Parenthesis)) {
                        rest = &after[1..];
                    }
                }
                TokenTree::Ident(_) => {
                    let (path, after) = path(rest_from(tokens, rest));
                    rest = after;
                    if path.len() > 1 {
                        names.insert(self.absolute(&path).join("::"));
                    }
                }
                TokenTree::Group(group) => {
                    self.collect(&group.stream().into_iter().collect::<Vec<_>>(), names)
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }
}

/// The tokens from the one before `rest` on.
fn rest_from<'a>(tokens: &'a [TokenTree], rest: &[TokenTree]) -> &'a [TokenTree] {
    &tokens[tokens.len() - rest.len() - 1..]
}

/// The path at the start of `tokens`, and what follows it.
fn path(mut tokens: &[TokenTree]) -> (Vec<String>, &[TokenTree]) {
    let mut path = Vec::new();
    while let [TokenTree::Ident(segment), after @ ..] = tokens {
        path.push(segment.to_string());
        tokens = after;
        match after {
            [a, b, after @ ..] if is_punct(a, ':') && is_punct(b, ':') => match after.first() {
                Some(TokenTree::Ident(_)) => tokens = after,
                _ => break,
            },
            _ => break,
        }
    }
    (path, tokens)
}

/// The paths of a `use` without its word and semicolon, each with the name that it brings in.
fn use_tree(tokens: &[TokenTree]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for branch in tokens.split(|token| is_punct(token, ',')) {
        let branch = match branch {
            [a, b, rest @ ..] if is_punct(a, ':') && is_punct(b, ':') => rest,
            branch => branch,
        };
        let (mut start, rest) = path(branch);
        match rest {
            [] => {
                // `a::{self}` is `a`, and is so named by the one that joins the two.
                let name = start.last().cloned().unwrap_or_default();
                if !name.is_empty() {
                    found.push((start, name));
                }
            }
            [TokenTree::Ident(_), TokenTree::Ident(name), ..] => found.push((start, name.to_string())),
            _ => match rest.last() {
                Some(TokenTree::Group(group)) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for (path, name) in use_tree(&inner) {
                        match path.as_slice() {
                            [own] if own == "self" => {
                                let name = if name == "self" {
                                    start.last().cloned().unwrap_or_default()
                                } else {
                                    name
                                };
                                found.push((start.clone(), name));
                            }
                            path => found.push(([start.as_slice(), path].concat(), name)),
                        }
                    }
                }
                _ => {
                    start.push("*".to_owned());
                    found.push((start, "*".to_owned()));
                }
            },
        }
    }
    found
}

fn collect_functions(tokens: &[TokenTree], found: &mut Vec<(String, usize, usize)>) {
    for (at, token) in tokens.iter().enumerate() {
        match (token, tokens.get(at + 1)) {
            (TokenTree::Ident(word), Some(TokenTree::Ident(name))) if word == "fn" => {
                let body = tokens[at..].iter().find(|token| is_block(token) || is_punct(token, ';'));
                if let Some(TokenTree::Group(body)) = body {
                    let (start, end) = (word.span().start().line, body.span_close().end().line);
                    found.push((name.to_string(), start, end - start + 1));
                }
            }
            (TokenTree::Group(group), _) => {
                collect_functions(&group.stream().into_iter().collect::<Vec<_>>(), found);
            }
            _ => {}
        }
    }
}

/// Whether a token is this sign.
pub fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

fn is_group(token: &TokenTree, delimiter: Delimiter) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == delimiter)
}

fn is_block(token: &TokenTree) -> bool {
    is_group(token, Delimiter::Brace)
}
