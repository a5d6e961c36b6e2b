//! Outputs of a compiled graph as floats; an output that is missing or of another type is an error, not an empty list.

use candor_graph::error::GraphError;
use candor_graph::tensor::Tensor;

use crate::error::Result;

/// The values of output `i`, row-major. `graph` names the graph in errors.
///
/// # Errors
/// [`crate::error::Error::Explain`] naming the graph and the output, if it is not a float tensor of `length` values.
pub(crate) fn floats<'t>(outputs: &'t [Tensor], i: usize, length: usize, graph: &str) -> Result<&'t [f32]> {
    let values = outputs.get(i).and_then(Tensor::as_floats);
    let found = match values {
        Some(values) if values.len() == length => return Ok(values),
        Some(values) => format!("has {} values", values.len()),
        None => "is missing or not a float tensor".to_string(),
    };
    let reason = format!("output {i} {found}; expected are {length} floats");
    Err(candor::error::Error::graph(graph, GraphError::Malformed(reason)).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::error::one_line;

    #[test]
    fn what_is_not_the_expected_floats_is_named() {
        let outputs = [Tensor::floats(&[2, 1], vec![1.0, 2.0]).unwrap()];
        assert_eq!(floats(&outputs, 0, 2, "scores").unwrap(), [1.0, 2.0]);
        let short = one_line(&floats(&outputs, 0, 3, "scores").unwrap_err());
        assert!(short.contains("scores") && short.contains("output 0 has 2 values"), "{short}");
        let missing = one_line(&floats(&outputs, 1, 2, "scores").unwrap_err());
        assert!(missing.contains("output 1 is missing"), "{missing}");
    }
}
