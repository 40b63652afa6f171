//! Bars as SVG: text stays text, and colours follow the reader's, dark or light.
//!
//! A chart is drawn of the lines that a bench writes for its figures (`tests/support/figures.rs`). Promises: the length of a bar is
//! the median of its rounds, half of them lie within its line. Refuses figures that are none.

use serde::Deserialize;

use crate::error::{Failure, Outcome, Trying};

const WIDTH: f64 = 860.0;
/// Where bars begin: what stands before them is their labels.
const LEFT: f64 = 300.0;
/// What numbers behind bars need.
const RIGHT: f64 = 110.0;
const HEAD: f64 = 62.0;
const ROW: f64 = 26.0;
const BAR: f64 = 16.0;

const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #1f2328 } .paper { fill: #ffffff } \
    .title { font-size: 16px; font-weight: 600 } .small { font-size: 12px; fill: #59636e } \
    .ours { fill: #1f6feb } .peer { fill: #afb8c1 } .range { stroke: #1f2328; stroke-width: 1.5 } \
    @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .paper { fill: #0d1117 } .small { fill: #9198a1 } \
    .ours { fill: #4493f8 } .peer { fill: #57606a } .range { stroke: #e6edf3 } }";

/// A bar, as its bench wrote it.
#[derive(Deserialize)]
struct Bar {
    chart: String,
    title: String,
    unit: String,
    label: String,
    ours: bool,
    rounds: Vec<f64>,
}

/// A picture, and the name of its file.
pub struct Chart {
    /// Without an ending.
    pub name: String,
    /// What is shown.
    pub title: String,
    unit: String,
    bars: Vec<Bar>,
}

impl Chart {
    /// Those of one bench, in the order in which it wrote them.
    pub fn read_all(lines: &str) -> Outcome<Vec<Self>> {
        let mut charts: Vec<Self> = Vec::new();
        for line in lines.lines() {
            let bar: Bar = serde_json::from_str(line).trying(|| format!("read the figures `{line}`"))?;
            if bar.rounds.is_empty() || !bar.rounds.iter().all(|figure| figure.is_finite() && *figure >= 0.0) {
                return Err(Failure::new(format!("no figures that could be drawn: `{line}`")));
            }
            match charts.iter_mut().find(|chart| chart.name == bar.chart) {
                Some(chart) => chart.bars.push(bar),
                None => charts.push(Self {
                    name: bar.chart.clone(),
                    title: bar.title.clone(),
                    unit: bar.unit.clone(),
                    bars: vec![bar],
                }),
            }
        }
        Ok(charts)
    }

    /// The picture; `below` says where and when it was measured.
    pub fn draw(&self, below: &str) -> String {
        let height = HEAD + ROW * self.bars.len() as f64 + 14.0;
        let most = self.bars.iter().map(|bar| quarters(&bar.rounds)[2]).fold(f64::MIN_POSITIVE, f64::max);
        let title = escaped(&self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n\
             <text class=\"title\" x=\"16\" y=\"26\">{title} ({})</text>\n<text class=\"small\" x=\"16\" y=\"46\">{}</text>\n",
            escaped(&self.unit),
            escaped(below)
        );
        for (number, bar) in self.bars.iter().enumerate() {
            svg += &bar.draw(HEAD + ROW * number as f64, (WIDTH - LEFT - RIGHT) / most);
        }
        svg + "</svg>\n"
    }
}

impl Bar {
    /// A row of the picture, in which one of the unit is so long.
    fn draw(&self, top: f64, scale: f64) -> String {
        let [low, middle, high] = quarters(&self.rounds);
        let (class, label) = (if self.ours { "ours" } else { "peer" }, escaped(&self.label));
        let (text, line) = (top + BAR - 3.0, top + BAR / 2.0);
        let [from, to, end] = [low, high, middle].map(|figure| LEFT + figure * scale);
        format!(
            "<text x=\"{:.0}\" y=\"{text:.1}\" text-anchor=\"end\">{label}</text>\n\
             <rect class=\"{class}\" x=\"{LEFT:.0}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{BAR:.0}\" rx=\"2\"/>\n\
             <path class=\"range\" d=\"M{from:.1} {line:.1}H{to:.1}\"/>\n\
             <text x=\"{:.1}\" y=\"{text:.1}\">{}</text>\n",
            LEFT - 10.0,
            end - LEFT,
            to.max(end) + 8.0,
            readable(middle)
        )
    }
}

/// What a quarter, half and three quarters of the figures do not exceed.
fn quarters(figures: &[f64]) -> [f64; 3] {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| sorted[(sorted.len() * quarter / 4).min(sorted.len() - 1)])
}

/// Three digits that count, and all of a number that is larger.
fn readable(figure: f64) -> String {
    match figure {
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"chart":"cpu","title":"CPU & more","unit":"µs","label":"gate","ours":true,"rounds":[30,10,20,40]}
{"chart":"cpu","title":"CPU & more","unit":"µs","label":"<none>","ours":false,"rounds":[15]}
{"chart":"speed","title":"Speed","unit":"1/s","label":"gate","ours":true,"rounds":[1234.5]}
"#;

    #[test]
    fn each_chart_has_its_bars_in_their_order() {
        let charts = Chart::read_all(LINES).unwrap();
        let names: Vec<_> = charts.iter().map(|chart| (chart.name.as_str(), chart.bars.len())).collect();
        assert_eq!(names, [("cpu", 2), ("speed", 1)]);
    }

    #[test]
    fn a_bar_is_as_long_as_its_median_and_text_stays_text() {
        let svg = Chart::read_all(LINES).unwrap()[0].draw("2 processors · 2026-11-30");
        // The longest line ends where numbers begin: 40 µs are 450 units.
        for part in [
            ">CPU &amp; more (µs)</text>",
            ">2 processors · 2026-11-30</text>",
            ">&lt;none&gt;</text>",
            "class=\"ours\" x=\"300\" y=\"62.0\" width=\"337.5\"",
            "d=\"M525.0 70.0H750.0\"",
            ">30.0</text>",
            "class=\"peer\" x=\"300\" y=\"88.0\" width=\"168.8\"",
            "prefers-color-scheme: dark",
        ] {
            assert!(svg.contains(part), "{part} is not in\n{svg}");
        }
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_with_its_line() {
        for (line, said) in [
            ("no JSON", "read the figures `no JSON`"),
            (r#"{"chart":"a","title":"A","unit":"s","label":"x","ours":true,"rounds":[]}"#, "no figures"),
            (r#"{"chart":"a","title":"A","unit":"s","label":"x","ours":true,"rounds":[-1]}"#, "no figures"),
        ] {
            let failure = Chart::read_all(line).err().unwrap().to_string();
            assert!(failure.contains(said), "{failure}");
        }
    }

    #[test]
    fn numbers_have_the_digits_that_count() {
        assert_eq!([0.123, 1.5, 12.34, 1234.5].map(readable), ["0.12", "1.50", "12.3", "1234"]);
    }
}
