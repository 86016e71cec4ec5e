//! Sizes that a reader can keep in mind, held.

use crate::support::source::{Source, root, sources};

const FILE_MAX_LINES: usize = 450;
const FUNCTION_MAX_LINES: usize = 60;
// With `console`, the wing of the pages.
const TOP_MAX_ENTRIES: usize = 18;

/// Files that are too long and do not say why.
fn long_files(sources: &[Source]) -> Vec<String> {
    let is_long = |source: &&Source| {
        let mut header = source.text.lines().take_while(|line| line.starts_with("//!"));
        source.text.lines().count() > FILE_MAX_LINES
            && !header.any(|line| line.starts_with("//! Long because"))
    };
    let long = sources.iter().filter(is_long);
    long.map(|source| format!("{}: {} lines", source.path, source.text.lines().count())).collect()
}

fn long_functions(sources: &[Source]) -> Vec<String> {
    let of_source = |source: &Source| {
        let long = source.functions().into_iter().filter(|(_, _, lines)| *lines > FUNCTION_MAX_LINES);
        long.map(|(name, line, lines)| format!("{}:{line}: {name} has {lines} lines", source.path))
            .collect::<Vec<_>>()
    };
    sources.iter().flat_map(of_source).collect()
}

#[test]
fn no_file_is_too_long() {
    assert_eq!(long_files(&sources()), Vec::<String>::new());
    let text = "//! A part.\n".to_owned() + &"\n".repeat(FILE_MAX_LINES);
    assert_eq!(long_files(&[Source::parse("long.rs", text.clone())]).len(), 1, "a long file is found");
    let excused = text.replace("part.\n", "part.\n//! Long because it is one table.\n");
    assert!(long_files(&[Source::parse("long.rs", excused)]).is_empty());
}

#[test]
fn no_function_is_too_long() {
    assert_eq!(long_functions(&sources()), Vec::<String>::new());
    let text = format!("impl A {{ fn long() {{{}}} }}", "\n".repeat(FUNCTION_MAX_LINES));
    assert_eq!(
        long_functions(&[Source::parse("long.rs", text.clone())]).len(),
        1,
        "a long function is found"
    );
    let of_tests = format!("#[cfg(test)] mod tests {{ {text} }}");
    assert!(long_functions(&[Source::parse("long.rs", of_tests)]).is_empty());
}

#[test]
fn the_top_has_few_entries() {
    let entries = std::fs::read_dir(root()).unwrap().count();
    assert!(entries <= TOP_MAX_ENTRIES, "src/ has {entries} entries");
}
