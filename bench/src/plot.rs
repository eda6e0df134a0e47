//! Plots as SVG: axes with round numbers, one line a series, a legend. Nothing that a browser would have to fetch.

use serde::Serialize;
use std::fmt::Write;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
/// Around the picture: left, right, top, bottom.
const MARGIN: [f64; 4] = [64.0, 150.0, 36.0, 44.0];
const COLOURS: [&str; 8] =
    ["#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#bf3989", "#0a7ea4", "#57606a"];

#[derive(Debug, Clone, Serialize)]
pub struct Plot {
    pub name: String,
    pub title: String,
    pub x: String,
    pub y: String,
    /// Both axes by powers of ten.
    pub logarithmic: bool,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

impl Series {
    pub fn of(name: &str, points: Vec<(f64, f64)>) -> Series {
        Series { name: name.to_owned(), points: thinned(points) }
    }
}

/// More points than pixels say nothing.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(200).max(1);
    let last = points.len().saturating_sub(1);
    points.into_iter().enumerate().filter(|(n, _)| n % step == 0 || *n == last).map(|(_, p)| p).collect()
}

impl Plot {
    pub fn new(name: &str, title: &str, x: &str, y: &str) -> Plot {
        let [name, title, x, y] = [name, title, x, y].map(str::to_owned);
        Plot { name, title, x, y, logarithmic: false, series: Vec::new() }
    }

    pub fn with(mut self, series: impl IntoIterator<Item = Series>) -> Plot {
        self.series.extend(series.into_iter().filter(|series| !series.points.is_empty()));
        self
    }

    pub fn logarithmic(mut self) -> Plot {
        self.logarithmic = true;
        self
    }

    pub fn svg(&self) -> String {
        let all = || self.series.iter().flat_map(|s| &s.points);
        let x = Axis::over(all().map(|p| p.0), self.logarithmic);
        let y = Axis::over(all().map(|p| p.1), self.logarithmic);
        let [left, right, top, bottom] = MARGIN;
        let (inner_width, inner_height) = (WIDTH - left - right, HEIGHT - top - bottom);
        let place =
            |p: &(f64, f64)| (left + x.part(p.0) * inner_width, top + (1.0 - y.part(p.1)) * inner_height);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\" role=\"img\"><title>{title}</title>\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
             <text x=\"{left}\" y=\"20\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n",
            title = escaped(&self.title)
        );
        for tick in x.ticks() {
            let at = left + x.part(tick) * inner_width;
            let foot = top + inner_height;
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {top}V{foot}\" stroke=\"#d8dee4\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                foot + 16.0,
                number(tick)
            );
        }
        for tick in y.ticks() {
            let at = top + (1.0 - y.part(tick)) * inner_height;
            let _ = writeln!(
                svg,
                "<path d=\"M{left} {at:.1}H{:.1}\" stroke=\"#d8dee4\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                left + inner_width,
                left - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            left + inner_width / 2.0,
            HEIGHT - 8.0,
            escaped(&self.x),
            top + inner_height / 2.0,
            escaped(&self.y)
        );
        for (n, series) in self.series.iter().enumerate() {
            let colour = COLOURS[n % COLOURS.len()];
            let path: Vec<String> =
                series.points.iter().map(place).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                path.join(" ")
            );
            if series.points.len() <= 12 {
                for (x, y) in series.points.iter().map(place) {
                    let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
                }
            }
            let (x, y) = (WIDTH - right + 12.0, top + 10.0 + n as f64 * 18.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{x} {:.1}h14\" stroke=\"{colour}\" stroke-width=\"2\"/><text x=\"{}\" y=\"{y:.1}\">{}</text>",
                y - 4.0,
                x + 20.0,
                escaped(&series.name)
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>, logarithmic: bool) -> Axis {
        let values: Vec<f64> = values.filter(|v| v.is_finite() && (!logarithmic || *v > 0.0)).collect();
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
        if values.is_empty() {
            return Axis { from: if logarithmic { 1.0 } else { 0.0 }, to: 10.0, logarithmic };
        }
        if logarithmic {
            let (from, to) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
            return Axis { from, to: if to > from { to } else { from * 10.0 }, logarithmic };
        }
        // Cost is judged against nothing, so the axis begins there.
        let step = step(high.max(f64::MIN_POSITIVE));
        Axis { from: 0.0, to: (high / step).ceil().max(1.0) * step, logarithmic }
    }

    fn part(&self, value: f64) -> f64 {
        let part = match self.logarithmic {
            true => (value / self.from).log10() / (self.to / self.from).log10(),
            false => (value - self.from) / (self.to - self.from),
        };
        part.clamp(0.0, 1.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = (self.to / self.from).log10().round() as i32;
            return (0..=powers).map(|n| self.from * 10_f64.powi(n)).collect();
        }
        let step = step(self.to);
        (0..=(self.to / step).round() as i32).map(|n| f64::from(n) * step).collect()
    }
}

/// A round distance of which some five fit.
fn step(high: f64) -> f64 {
    let power = 10_f64.powf((high / 5.0).log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| high / (times * power) <= 6.0);
    times.unwrap_or(10.0) * power
}

fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        _ if value >= 1e6 => format!("{} M", trimmed(value / 1e6)),
        _ if value >= 1e4 => format!("{} k", trimmed(value / 1e3)),
        _ => trimmed(value),
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_numbers() {
        let axis = Axis::over([3.0, 97.0].into_iter(), false);
        assert_eq!((axis.from, axis.to, axis.ticks().len()), (0.0, 100.0, 6));
        let axis = Axis::over([1_000.0, 1e7].into_iter(), true);
        assert_eq!(axis.ticks(), [1e3, 1e4, 1e5, 1e6, 1e7]);
    }

    #[test]
    fn every_point_lies_within_the_picture_and_text_is_text() {
        let plot =
            Plot::new("x", "a < b & c", "n", "ms").with([Series::of("s", vec![(1.0, 5.0), (9.0, 0.1)])]);
        let svg = plot.logarithmic().svg();
        assert!(svg.contains("a &lt; b &amp; c"));
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }
}
