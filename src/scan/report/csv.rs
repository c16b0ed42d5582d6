//! A report as CSV (RFC 4180): a row for each finding, and one for each run without findings.

use super::Report;

const COLUMNS: &str =
    "target,plugin,status,start,duration_ms,error,summary,finding,severity,title,evidence,remediation,vector";

/// The report as CSV with a header line. A cell that a spreadsheet would take for a formula gets a `'` before it: what
/// a target answers must not run on the reader's machine.
pub fn to_csv(report: &Report) -> String {
    let mut csv = String::from(COLUMNS);
    csv.push_str("\r\n");
    for result in &report.results {
        let run = &result.run;
        let duration = run.duration.map(|ms| ms.to_string()).unwrap_or_default();
        let error = run.error.as_deref().unwrap_or_default();
        let head = [
            &run.target,
            &run.plugin,
            run.status.name(),
            &run.start.to_string(),
            &duration,
            error,
            &result.summary,
        ]
        .map(cell)
        .join(",");
        if result.findings.is_empty() {
            csv.push_str(&head);
            csv.push_str(",,,,,,\r\n");
        }
        for finding in &result.findings {
            let tail = [
                finding.id.as_str(),
                finding.severity.name(),
                &finding.title,
                &finding.evidence,
                &finding.remediation,
                finding.vector.as_deref().unwrap_or_default(),
            ];
            csv.push_str(&head);
            csv.push(',');
            csv.push_str(&tail.map(cell).join(","));
            csv.push_str("\r\n");
        }
    }
    csv
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !formula && !text.contains([',', '"', '\r', '\n', ';']) {
        return text.to_owned();
    }
    let guard = if formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_finding_and_every_run_without_one_is_a_row() {
        let csv = to_csv(&fixture::report());
        let rows: Vec<&str> = csv.split_terminator("\r\n").collect();
        assert_eq!(rows[0], COLUMNS);
        assert_eq!(rows.len(), 4, "{csv}");
        assert!(
            rows[1].ends_with(",http-probe/plain,low,\"Plain, \"\"http\"\"\",,,"),
            "{}",
            rows[1]
        );
        assert!(rows[2].contains(",http-probe/other,info,"), "{}", rows[2]);
        assert!(
            rows[3].starts_with("http://a:1/,port-probe,skipped,1000,,"),
            "{}",
            rows[3]
        );
    }

    #[test]
    fn a_cell_that_a_spreadsheet_would_run_is_disarmed() {
        assert_eq!(cell("=HYPERLINK(\"x\")"), "\"'=HYPERLINK(\"\"x\"\")\"");
        assert_eq!(cell("-1"), "\"'-1\"");
        assert_eq!(cell("two\nlines"), "\"two\nlines\"");
        assert_eq!(cell("plain"), "plain");
    }
}
