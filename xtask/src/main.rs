fn main() {
    println!("{:?}", wasm_bindgen_cli_support::Bindgen::new().stem());
}
