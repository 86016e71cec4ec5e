//! Reads the ARNs of Lambda functions. Must not know whose they are.

/// Whether the trigger `arn` is our function, or a version or an alias of it.
#[must_use]
pub fn is_ours(arn: &str, function_arn: &str) -> bool {
    arn.strip_prefix(function_arn).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// The Region of a Lambda function's ARN, with or without a qualifier; `None` if it is none, or more than one.
#[must_use]
pub fn function_region(arn: &str) -> Option<&str> {
    let is_word = |part: &str| {
        let is_part = |character: char| character.is_ascii_alphanumeric() || "-_$".contains(character);
        !part.is_empty() && part.chars().all(is_part)
    };
    let parts: Vec<&str> = arn.split(':').collect();
    match parts[..] {
        ["arn", partition, "lambda", region, account, "function", ref name @ ..]
            if matches!(name.len(), 1 | 2)
                && [partition, region, account].iter().chain(name).all(|part| is_word(part)) =>
        {
            Some(region)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:ours";
    const THEIRS: &str = "arn:aws:lambda:eu-west-1:111122223333:function:theirs:live";
    const OTHER: &str = "arn:aws:lambda:eu-west-1:111122223333:function:other";

    #[test]
    fn a_function_is_one_lambda_arn() {
        for arn in [OURS, THEIRS, &format!("{OURS}:$LATEST")] {
            assert_eq!(function_region(arn), Some("eu-west-1"), "{arn}");
        }
        let list = format!("eu-west-1_A={OURS}");
        let lists = [format!("{OURS},{OTHER}"), format!("{OURS}:"), format!("{THEIRS}:x"), list];
        for text in lists.iter().map(String::as_str).chain(["", "arn:aws:iam::111122223333:role/x"]) {
            assert_eq!(function_region(text), None, "{text}");
        }
    }
}
