//! One answer of a metrics endpoint, written in the Prometheus text format by `prometheus-client`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// Names and values that tell the rows of one figure apart.
pub type Labels = Vec<(&'static str, String)>;

/// The page that is being written. Names have the prefix of the daemon and the unit at the end, as Prometheus wants them.
#[derive(Debug)]
pub struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// The `Content-Type` of a page.
    pub const CONTENT_TYPE: &'static str = prometheus_text::CONTENT_TYPE;

    /// The text of the page that `fill` writes.
    pub fn text(
        fill: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static,
    ) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Filled(fill)));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry)?;
        Ok(text)
    }

    /// Numbers that only grow, but for a restart. Their name ends in `_total`.
    pub fn counters(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        // The encoder adds it.
        let name = name.strip_suffix("_total").unwrap_or(name);
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in rows {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, u64, u64>(&value, None)?;
        }
        Ok(())
    }

    /// One number that only grows.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters(name, help, [(Labels::new(), value)])
    }

    /// Numbers that rise and fall.
    #[allow(clippy::cast_precision_loss)]
    pub fn gauges(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, i64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in rows {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    /// One number that rises and falls.
    pub fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        self.gauges(name, help, [(Labels::new(), value)])
    }

    /// Times: sum in seconds, and how many were at most so long, each in the first bucket that it fits in.
    pub fn histograms(
        &mut self,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, f64, Vec<(f64, u64)>)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, sum, buckets) in rows {
            let count = buckets.iter().map(|(_, count)| count).sum();
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
        }
        Ok(())
    }
}

struct Filled<F>(F);

impl<F> fmt::Debug for Filled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filled")
    }
}

impl<F: Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Filled<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Page(encoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_prometheus_text() {
        let text = Page::text(|page| {
            page.counters("a_total", "Some.", [(vec![("kind", "x\"y".to_owned())], 3)])?;
            page.gauge("b_bytes", "Others.", -1)?;
            page.histograms("c_seconds", "Times.", [(Labels::new(), 0.5, vec![(0.1, 2), (f64::INFINITY, 1)])])
        });
        assert_eq!(
            text.as_deref(),
            Ok("# HELP a_total Some.\n# TYPE a_total counter\na_total{kind=\"x\\\"y\"} 3\n\
                # HELP b_bytes Others.\n# TYPE b_bytes gauge\nb_bytes -1\n\
                # HELP c_seconds Times.\n# TYPE c_seconds histogram\nc_seconds_bucket{le=\"0.1\"} 2\n\
                c_seconds_bucket{le=\"+Inf\"} 3\nc_seconds_sum 0.5\nc_seconds_count 3\n")
        );
    }
}
