//! The few lines of a history that a person needs to see.

use crate::history::Operation;

/// More lines than this are no excerpt.
const LINES_MAX: usize = 16;

/// The operations by time, one per line, each once. What is too much is left out in the middle.
#[must_use]
pub fn excerpt<'a>(operations: impl IntoIterator<Item = &'a Operation>) -> String {
    let mut chosen: Vec<&Operation> = operations.into_iter().collect();
    chosen
        .sort_by_key(|operation| (operation.invoked_us, operation.returned_us(), operation.client));
    chosen.dedup();
    let mut text = String::new();
    let left_out = chosen.len().saturating_sub(LINES_MAX);
    for (at, operation) in chosen.iter().enumerate() {
        let in_gap = left_out > 0 && (LINES_MAX / 2..LINES_MAX / 2 + left_out).contains(&at);
        if in_gap {
            if at == LINES_MAX / 2 {
                text.push_str(&format!("\n    ... {left_out} more ..."));
            }
            continue;
        }
        text.push_str(&format!("\n    {operation}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::set;

    #[test]
    fn an_excerpt_is_in_order_says_everything_once_and_is_short() {
        let later = set("a", "2", (5, 6));
        let operations = [later.clone(), set("a", "1", (1, 2)), later];
        let text = excerpt(&operations);
        assert_eq!(text.lines().count(), 3);
        assert!(text.find("SET a 1") < text.find("SET a 2"));
        let many: Vec<Operation> = (0..100).map(|n| set("a", &n.to_string(), (n, n))).collect();
        let text = excerpt(&many);
        assert_eq!(text.lines().count(), 1 + LINES_MAX + 1);
        assert!(text.contains("84 more") && text.contains("SET a 99"));
    }
}
