//! What a terminal shows of what a program drew, and a picture of it: SVG in which text is text.
//!
//! Knows what our programs use: returns, lines, moving up and down, clearing, bold and eight colours. Other control sequences
//! change nothing. Lines are as long as they are drawn; a program that asks for the width draws no longer ones.

use std::fmt::Write as _;

/// Space for a character and for a line, in the units of the picture.
const COLUMN: f64 = 8.4;
const LINE: f64 = 20.0;
const MARGIN: f64 = 18.0;

/// Colours are those of a terminal's palette, from red on; the reader's own setting decides which paper they are on.
const STYLE: &str = "text { font: 14px ui-monospace, monospace; white-space: pre; fill: #1f2328 } .paper { fill: #f6f8fa } \
    .bold { font-weight: 600 } .c1 { fill: #b3261e } .c2 { fill: #1a7f37 } .c3 { fill: #7d4e00 } .c4 { fill: #0550ae } \
    .c5 { fill: #8250df } .c6 { fill: #1b7c83 } @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } \
    .paper { fill: #161b22 } .c1 { fill: #ff7b72 } .c2 { fill: #3fb950 } .c3 { fill: #d29922 } .c4 { fill: #58a6ff } \
    .c5 { fill: #bc8cff } .c6 { fill: #39c5cf } }";

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    /// 0 is the usual one.
    colour: u8,
}

/// Lines of characters, and where the next one goes.
#[derive(Default)]
pub struct Screen {
    lines: Vec<Vec<(char, Look)>>,
    line: usize,
    column: usize,
    look: Look,
}

impl Screen {
    /// What is there after all of this was drawn.
    #[must_use]
    pub fn of(drawn: &str) -> Self {
        let mut screen = Self::default();
        let mut rest = drawn.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => screen.column = 0,
                // A terminal makes both of it.
                '\n' => (screen.line, screen.column) = (screen.line + 1, 0),
                '\u{1b}' => screen.obey(&sequence(&mut rest)),
                c if !c.is_control() => screen.put(c),
                _ => {}
            }
        }
        screen
    }

    /// Its text, without blanks at the end of a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let text = |line: &Vec<(char, Look)>| line.iter().map(|(c, _)| c).collect::<String>().trim_end().to_owned();
        self.lines.iter().map(text).collect()
    }

    fn put(&mut self, c: char) {
        if self.lines.len() <= self.line {
            self.lines.resize(self.line + 1, Vec::new());
        }
        let line = &mut self.lines[self.line];
        if line.len() <= self.column {
            line.resize(self.column + 1, (' ', Look::default()));
        }
        line[self.column] = (c, self.look);
        self.column += 1;
    }

    /// Does what a control sequence says.
    fn obey(&mut self, sequence: &str) {
        let (numbers, letter) = sequence.split_at(sequence.len().saturating_sub(1));
        let first = numbers.split(';').next().and_then(|number| number.parse::<usize>().ok());
        match letter {
            "A" => self.line = self.line.saturating_sub(first.unwrap_or(1)),
            "B" => self.line += first.unwrap_or(1),
            "K" => self.clear(first.unwrap_or(0)),
            "m" => numbers.split(';').for_each(|number| self.dress(number.parse().unwrap_or(0))),
            _ => {}
        }
    }

    /// The rest of the line, or all of it.
    fn clear(&mut self, what: usize) {
        let from = if what == 2 { 0 } else { self.column };
        if let Some(line) = self.lines.get_mut(self.line) {
            line.truncate(from);
        }
    }

    fn dress(&mut self, number: u8) {
        match number {
            0 => self.look = Look::default(),
            1 => self.look.bold = true,
            30..=37 => self.look.colour = number - 30,
            39 => self.look.colour = 0,
            90..=97 => self.look.colour = number - 90,
            _ => {}
        }
    }

    /// The picture of a terminal of so many columns; who cannot see it is told its title.
    #[must_use]
    pub fn picture(&self, title: &str, columns: usize) -> String {
        let width = COLUMN * columns as f64 + 2.0 * MARGIN;
        let height = LINE * self.lines.len() as f64 + 2.0 * MARGIN;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{width:.0}\" height=\"{height:.0}\" rx=\"8\"/>\n",
            escaped(title)
        );
        for (number, line) in self.lines.iter().enumerate() {
            let bottom = MARGIN + LINE * (number as f64 + 0.75);
            let spans: String = line.chunk_by(|a, b| a.1 == b.1).map(span).collect();
            writeln!(svg, "<text x=\"{MARGIN}\" y=\"{bottom:.0}\">{spans}</text>").unwrap();
        }
        svg + "</svg>\n"
    }
}

/// A control sequence without its `[`, up to the letter that ends it.
fn sequence(rest: &mut impl Iterator<Item = char>) -> String {
    let mut sequence = String::new();
    for c in rest.filter(|c| *c != '[') {
        sequence.push(c);
        if c.is_ascii_alphabetic() {
            break;
        }
    }
    sequence
}

/// Characters of one look.
fn span(run: &[(char, Look)]) -> String {
    let text = escaped(&run.iter().map(|(c, _)| c).collect::<String>());
    match run[0].1 {
        Look { bold: false, colour: 0 } => text,
        Look { bold: true, colour: 0 } => format!("<tspan class=\"bold\">{text}</tspan>"),
        Look { bold: false, colour } => format!("<tspan class=\"c{colour}\">{text}</tspan>"),
        Look { bold: true, colour } => format!("<tspan class=\"bold c{colour}\">{text}</tspan>"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_again_takes_the_place_of_what_was_there() {
        assert_eq!(Screen::of("10%\r20%\r\ndone").lines(), ["20%", "done"]);
        assert_eq!(Screen::of("a long line\r\u{1b}[2Kshort").lines(), ["short"]);
        assert_eq!(Screen::of("one\ntwo\n\u{1b}[2Athe first").lines(), ["the first", "two"]);
        assert_eq!(Screen::of("\u{1b}[?25labc\r\u{1b}[1Bd").lines(), ["abc", "d"]);
    }

    #[test]
    fn text_stays_text_with_its_look() {
        let svg = Screen::of("$ a <b>\r\n\u{1b}[1;31merror:\u{1b}[0m no").picture("A & b", 20);
        for part in [
            "<title>A &amp; b</title>",
            ">$ a &lt;b&gt;</text>",
            "<tspan class=\"bold c1\">error:</tspan> no</text>",
            "viewBox=\"0 0 204 76\"",
            "prefers-color-scheme: dark",
        ] {
            assert!(svg.contains(part), "{part} is not in {svg}");
        }
    }
}
