//! The runbook, in the program, so that it is there when nothing else is: docs/runbook.md as blocks of text. Reads what that
//! file uses of Markdown, no more. Must not know a page.

use std::sync::LazyLock;

/// A piece of the runbook.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::console) enum Block {
    Title(&'static str),
    /// A heading, after its anchor.
    Chapter(String, &'static str),
    /// A lesser one.
    Section(String, &'static str),
    Text(Vec<Span>),
    Items(Vec<Vec<Span>>),
    /// A table: its head, and its rows.
    Rows(Vec<Vec<Span>>, Vec<Vec<Vec<Span>>>),
    Code(&'static str),
}

/// A piece of a line.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::console) enum Span {
    Plain(&'static str),
    Code(&'static str),
    Strong(&'static str),
    /// A text, and an anchor of the runbook's own.
    Link(&'static str, &'static str),
}

/// The runbook of this build.
pub(in crate::console) fn runbook() -> &'static [Block] {
    static BLOCKS: LazyLock<Vec<Block>> = LazyLock::new(|| blocks(include_str!("../../docs/runbook.md")));
    &BLOCKS
}

/// A heading's anchor, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.map(|character| if character == ' ' { '-' } else { character }).collect::<String>().to_lowercase()
}

fn blocks(text: &'static str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((block, after)) = next(rest) {
        blocks.push(block);
        rest = after;
    }
    blocks
}

/// The first block, and what follows it.
fn next(text: &'static str) -> Option<(Block, &'static str)> {
    let text = text.trim_start_matches('\n');
    if text.trim().is_empty() {
        return None;
    }
    if let Some(after) = text.strip_prefix("```") {
        let code = after.split_once('\n').map_or("", |(_, code)| code);
        let (code, after) = code.split_once("\n```").unwrap_or((code, ""));
        return Some((Block::Code(code), after));
    }
    if text.starts_with('#') {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        return Some((heading(line), after));
    }
    // A list's code and a paragraph's end are no empty line, so an indented fence is read as text.
    let end = text.find("\n\n").unwrap_or(text.len());
    let (block, after) = text.split_at_checked(end)?;
    Some((paragraph(block), after))
}

fn heading(line: &'static str) -> Block {
    let text = line.trim_start_matches('#').trim();
    match line.len() - line.trim_start_matches('#').len() {
        1 => Block::Title(text),
        2 => Block::Chapter(anchor(text), text),
        _ => Block::Section(anchor(text), text),
    }
}

/// What stands behind the mark of a list's item.
fn item(line: &'static str) -> Option<&'static str> {
    let line = line.trim_start();
    let number = line.trim_start_matches(|character: char| character.is_ascii_digit());
    line.strip_prefix("- ").or_else(|| number.strip_prefix(". ").filter(|_| number.len() < line.len()))
}

fn paragraph(text: &'static str) -> Block {
    let mut lines = text.lines();
    if text.starts_with('|') {
        let cells = |line: &'static str| {
            line.trim_matches('|').split(" | ").map(|cell| spans(cell.trim())).collect::<Vec<_>>()
        };
        let head = lines.next().map(cells).unwrap_or_default();
        return Block::Rows(head, lines.skip(1).map(cells).collect());
    }
    if item(text).is_some() {
        return Block::Items(lines.map(|line| spans(item(line).unwrap_or(line.trim()))).collect());
    }
    Block::Text(spans(text))
}

/// The marks of a line, read from left to right; what is not closed is text.
fn spans(text: &'static str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['`', '*', '[']) {
        let (plain, marked) = rest.split_at(start);
        if !plain.is_empty() {
            spans.push(Span::Plain(plain));
        }
        let (span, after) = marked_span(marked);
        spans.push(span);
        rest = after;
    }
    if !rest.is_empty() {
        spans.push(Span::Plain(rest));
    }
    spans
}

fn marked_span(text: &'static str) -> (Span, &'static str) {
    let between = |mark: &str| text.strip_prefix(mark)?.split_once(mark);
    if let Some((code, after)) = between("`") {
        return (Span::Code(code), after);
    }
    if let Some((strong, after)) = between("**") {
        return (Span::Strong(strong), after);
    }
    if let Some((emphasis, after)) = between("*") {
        return (Span::Plain(emphasis), after);
    }
    let link = || {
        let (name, after) = text.strip_prefix('[')?.split_once("](")?;
        let (url, after) = after.split_once(')')?;
        // Other files are not here.
        Some((if url.starts_with('#') { Span::Link(name, url) } else { Span::Plain(name) }, after))
    };
    link().unwrap_or_else(|| {
        let (mark, after) = text.split_at(1);
        (Span::Plain(mark), after)
    })
}

#[cfg(test)]
mod tests {
    use super::{Block, Span, blocks, runbook};

    #[test]
    fn what_the_runbook_uses_of_markdown_is_read() {
        let text = "# T\n\n## Undelivered > 0\n\nSee `a` and **b** [c](#d), [e](f.md).\n\n- one\n- two\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n```sh\nls\n```\n";
        let plain = |text| vec![Span::Plain(text)];
        let see = vec![
            Span::Plain("See "),
            Span::Code("a"),
            Span::Plain(" and "),
            Span::Strong("b"),
            Span::Plain(" "),
            Span::Link("c", "#d"),
            Span::Plain(", "),
            Span::Plain("e"),
            Span::Plain("."),
        ];
        let expected = vec![
            Block::Title("T"),
            Block::Chapter("undelivered--0".to_owned(), "Undelivered > 0"),
            Block::Text(see),
            Block::Items(vec![plain("one"), plain("two")]),
            Block::Rows(vec![plain("x"), plain("y")], vec![vec![plain("1"), plain("2")]]),
            Block::Code("ls"),
        ];
        assert_eq!(blocks(text), expected);
    }

    #[test]
    fn every_link_of_the_runbook_leads_somewhere() {
        let anchors: Vec<String> = runbook().iter().filter_map(anchor_of).collect();
        assert!(anchors.len() > 20, "the runbook is read");
        let links: Vec<&str> = runbook().iter().flat_map(links_of).collect();
        assert!(links.len() > 20, "{links:?}");
        for link in links {
            assert!(anchors.iter().any(|anchor| link.strip_prefix('#') == Some(anchor)), "{link}");
        }
    }

    fn anchor_of(block: &Block) -> Option<String> {
        match block {
            Block::Chapter(anchor, _) | Block::Section(anchor, _) => Some(anchor.clone()),
            Block::Title(_) | Block::Text(_) | Block::Items(_) | Block::Rows(..) | Block::Code(_) => None,
        }
    }

    fn links_of(block: &Block) -> Vec<&'static str> {
        let spans: Vec<&Span> = match block {
            Block::Text(spans) => spans.iter().collect(),
            Block::Items(items) => items.iter().flatten().collect(),
            Block::Rows(head, rows) => head.iter().chain(rows.iter().flatten()).flatten().collect(),
            Block::Title(_) | Block::Chapter(..) | Block::Section(..) | Block::Code(_) => Vec::new(),
        };
        let link = |span: &Span| match span {
            Span::Link(_, url) => Some(*url),
            Span::Plain(_) | Span::Code(_) | Span::Strong(_) => None,
        };
        spans.into_iter().filter_map(link).collect()
    }
}
