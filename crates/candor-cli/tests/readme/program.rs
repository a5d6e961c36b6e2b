use candor::{Class, Classifier, Method};

fn main() -> candor::Result<()> {
    let classifier = Classifier::open("model.onnx")?; // with the sidecar and the labels beside it
    let mut explainer = classifier.explainer(&Method::default())?; // compiled once
    for e in explainer.explain("photos/000000.png", &[Class::top(1), Class::named("fish")])? {
        println!("{}: {:?}, evidence {:+.2}", e.class_name, e.verdict, e.evidence.unwrap_or(0.0));
    }
    Ok(())
}
