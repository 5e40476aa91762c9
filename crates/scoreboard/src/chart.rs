pub fn draw(
    _: &crate::report::Report,
) -> anyhow::Result<Vec<(&'static str, String)>> {
    Ok(vec![])
}
