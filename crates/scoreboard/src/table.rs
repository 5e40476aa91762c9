pub fn print(report: &crate::report::Report) {
    for r in &report.rows {
        println!(
            "{:60} p50 {:9.0} p99 {:9.0} /s {:9.0} {:?} wire {:6.0} cpu {:7.2} +{:7.2} rss {:8.0} +{:8.0}",
            r.name(),
            r.p50_us.median(),
            r.p99_us.median(),
            r.per_second.median(),
            r.per_second.spread(),
            r.wire_bytes.median(),
            r.cpu_us.median(),
            r.broker_cpu_us.median(),
            r.resident_kib.median(),
            r.broker_resident_kib.median()
        );
    }
}
