//! The score and the grade, by the published rules of the MDN HTTP Observatory (`src/scanner`, `src/grader`): 100 to
//! begin with, penalties always, bonuses only for those who have 90 or more without them.

use serde::Serialize;

use super::verdict::Verdict;

/// What the verdicts add up to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(crate) enum Score {
    /// Every scored test was seen.
    Full {
        /// 0 or more; 100 and more is the best grade.
        score: i32,
        /// `A+` to `F`.
        grade: &'static str,
    },
    /// Some tests could not be seen, so there is no score; it can at best be this.
    Partial {
        /// The score if all that is hidden is as good as can be.
        at_most: i32,
        /// The grade of that.
        at_most_grade: &'static str,
    },
    /// The rules score pages that answer with success only.
    None {
        /// What it answered with.
        status: u16,
    },
}

impl Score {
    /// Adds the verdicts up.
    pub(crate) fn of(status: u16, verdicts: &[Verdict]) -> Self {
        if status != 0 && !(200..300).contains(&status) {
            return Self::None { status };
        }
        let scored = verdicts
            .iter()
            .filter(|verdict| best_bonus(verdict.test).is_some());
        let hidden = scored.clone().any(Verdict::is_hidden);
        let modifiers = scored.filter_map(|verdict| {
            if verdict.is_hidden() {
                best_bonus(verdict.test)
            } else {
                verdict.modifier
            }
        });
        let penalised = BASELINE + modifiers.clone().filter(|modifier| *modifier < 0).sum::<i32>();
        let score = if penalised >= ENOUGH_FOR_BONUS {
            BASELINE + modifiers.sum::<i32>()
        } else {
            penalised
        }
        .max(0);
        if hidden {
            Self::Partial {
                at_most: score,
                at_most_grade: grade(score),
            }
        } else {
            Self::Full {
                score,
                grade: grade(score),
            }
        }
    }

    /// One line for a list of results.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Full { score, grade } => format!("{grade} ({score})"),
            Self::Partial {
                at_most,
                at_most_grade,
            } => {
                format!("at most {at_most_grade} ({at_most}): some headers are hidden from here")
            }
            Self::None { status } => format!("not scored: status {status}"),
        }
    }
}

const BASELINE: i32 = 100;
const ENOUGH_FOR_BONUS: i32 = 90;

/// The most that a scored test can add; none for tests that are not scored.
fn best_bonus(test: &str) -> Option<i32> {
    Some(match test {
        "content-security-policy" | "cross-origin-resource-policy" => 10,
        "cookies" | "referrer-policy" | "subresource-integrity" | "x-frame-options" => 5,
        "cross-origin-resource-sharing"
        | "redirection"
        | "strict-transport-security"
        | "x-content-type-options" => 0,
        _ => return None,
    })
}

/// The published grade chart: a third of a grade every 5 or 10 points.
fn grade(score: i32) -> &'static str {
    match score {
        100.. => "A+",
        90.. => "A",
        85.. => "A-",
        80.. => "B+",
        70.. => "B",
        65.. => "B-",
        60.. => "C+",
        50.. => "C",
        45.. => "C-",
        40.. => "D+",
        30.. => "D",
        25.. => "D-",
        _ => "F",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn verdict(test: &'static str, modifier: i32) -> Verdict {
        Verdict {
            modifier: Some(modifier),
            ..Verdict::noted(test, "whatever")
        }
    }

    #[test]
    fn grades_change_where_the_chart_says() {
        let chart = [
            (135, "A+"),
            (100, "A+"),
            (99, "A"),
            (90, "A"),
            (89, "A-"),
            (84, "B+"),
            (79, "B"),
            (69, "B-"),
            (64, "C+"),
            (59, "C"),
            (49, "C-"),
            (44, "D+"),
            (39, "D"),
            (29, "D-"),
            (24, "F"),
            (0, "F"),
        ];
        for (score, expected) in chart {
            assert_eq!(grade(score), expected, "{score}");
        }
    }

    #[test]
    fn bonuses_count_from_ninety_on() {
        let of = |penalty| {
            Score::of(
                200,
                &[
                    verdict("content-security-policy", 10),
                    verdict("cookies", penalty),
                    verdict("x-frame-options", 5),
                ],
            )
        };
        assert_eq!(
            of(0),
            Score::Full {
                score: 115,
                grade: "A+"
            }
        );
        assert_eq!(
            of(-10),
            Score::Full {
                score: 105,
                grade: "A+"
            }
        );
        assert_eq!(
            of(-20),
            Score::Full {
                score: 80,
                grade: "B+"
            }
        );
    }

    #[test]
    fn a_score_never_falls_below_zero() {
        let verdicts = [
            verdict("cookies", -40),
            verdict("cross-origin-resource-sharing", -50),
            verdict("x-frame-options", -20),
        ];
        assert_eq!(Score::of(200, &verdicts), Score::Full { score: 0, grade: "F" });
    }

    #[test]
    fn what_is_hidden_is_not_scored() {
        let verdicts = [Verdict::hidden("cookies"), verdict("x-frame-options", -20)];
        assert_eq!(
            Score::of(200, &verdicts),
            Score::Partial {
                at_most: 80,
                at_most_grade: "B+"
            }
        );
        let unscored_hidden = [
            Verdict::hidden("permissions-policy"),
            verdict("x-frame-options", -20),
        ];
        assert_eq!(
            Score::of(200, &unscored_hidden),
            Score::Full {
                score: 80,
                grade: "B+"
            }
        );
    }

    #[test]
    fn only_success_is_scored() {
        assert_eq!(Score::of(404, &[]), Score::None { status: 404 });
        assert_eq!(
            Score::of(204, &[]),
            Score::Full {
                score: 100,
                grade: "A+"
            }
        );
    }

    #[test]
    fn it_says_in_json_whether_it_is_whole() {
        let json = serde_json::to_value(Score::of(200, &[Verdict::hidden("cookies")])).unwrap();
        assert_eq!(
            json,
            serde_json::json!({ "state": "partial", "atMost": 105, "atMostGrade": "A+" })
        );
    }
}
