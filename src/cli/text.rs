//! Text for a terminal: aligned tables, text on one line, numbers with separators.
//!
//! - What comes from data never reaches the terminal with its control characters: they could move
//!   the cursor or set colours.
//! - A table's columns are as wide as their widest cell, in characters.

use std::io::{self, Write};

/// On which side of its column a cell stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings.
pub(crate) struct Table {
    columns: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these headings.
    pub(crate) fn new(columns: &[(&'static str, Side)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one cell a column.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| one_line(cell, usize::MAX)).collect());
    }

    /// Writes headings and rows, each line behind `indent`.
    pub(crate) fn write(&self, out: &mut dyn Write, indent: &str) -> io::Result<()> {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (heading, _))| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                cells.map(|cell| cell.chars().count()).fold(heading.chars().count(), usize::max)
            })
            .collect();
        let headings: Vec<String> =
            self.columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::from(indent);
            for ((cell, (_, side)), width) in row.iter().zip(&self.columns).zip(&widths) {
                let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
                match side {
                    Side::Left => line.extend([cell, gap.as_str()]),
                    Side::Right => line.extend([gap.as_str(), cell]),
                }
                line.push_str("  ");
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// `text` on one line, at most `characters_max` of it: white space becomes one space, other control
/// characters a middle dot, and an ellipsis stands for what is left out.
pub(crate) fn one_line(text: &str, characters_max: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut gap = false;
    for character in text.chars() {
        if character.is_whitespace() {
            gap = length > 0;
            continue;
        }
        let needed = 1 + usize::from(gap);
        if length + needed > characters_max {
            while length + 1 > characters_max && line.pop().is_some() {
                length -= 1;
            }
            line.truncate(line.trim_end().len());
            line.push('…');
            return line;
        }
        if gap {
            line.push(' ');
            gap = false;
        }
        line.push(harmless(character));
        length += needed;
    }
    line
}

/// `text` with its lines, each behind `indent`.
pub(crate) fn write_indented(out: &mut dyn Write, indent: &str, text: &str) -> io::Result<()> {
    for line in text.lines() {
        let line: String = line
            .chars()
            .map(|character| if character == '\t' { character } else { harmless(character) })
            .collect();
        writeln!(out, "{indent}{line}")?;
    }
    Ok(())
}

fn harmless(character: char) -> char {
    if character.is_control() { '·' } else { character }
}

/// `24678` as `24,678`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 run`, `2 runs`, `1,526 runs`.
pub(crate) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_widest_cells() {
        let mut table = Table::new(&[("NAME", Side::Left), ("STEPS", Side::Right)]);
        table.row(vec!["é".into(), "7".into()]);
        table.row(vec!["longer".into(), "123456".into()]);
        let mut out = Vec::new();
        table.write(&mut out, "  ").unwrap();
        let expected = "  NAME     STEPS\n  é            7\n  longer  123456\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn text_on_one_line_keeps_its_length_and_its_control_characters_out() {
        assert_eq!(one_line("  a \r\n\t b\u{1b}[31m ", 80), "a b·[31m");
        assert_eq!(one_line("abcdef", 6), "abcdef");
        assert_eq!(one_line("abcdefg", 6), "abcde…");
        assert_eq!(one_line("abcd efg", 6), "abcd…");
        assert_eq!(one_line("abcde fg", 6), "abcde…");
    }

    #[test]
    fn numbers_are_grouped_by_three() {
        let all: Vec<_> = [0, 12, 999, 1000, 24_678, 1_000_000].map(grouped).into();
        assert_eq!(all, ["0", "12", "999", "1,000", "24,678", "1,000,000"]);
        assert_eq!(count(1, "run", "runs"), "1 run");
    }
}
