import ModelFormats
import ModelGraph

/// How to find the end of each prompt in the text encoder.
///
/// Source: transformers' `CLIPTextModel`: configurations before 2023 give 2 as the end token's id,
/// which no vocabulary has; for them it is the greatest id.
enum EndOfText: Sendable, Hashable {
  case greatestID
  /// The first position of this id.
  case id(Int)
}

extension Lowering {
  /// Adds the output `pooler_output [batch, channels]`: the last hidden state at each prompt's end.
  mutating func pool(_ endOfText: EndOfText) throws(FormatError) {
    guard let input = graph.inputs.first(where: { graph[$0].isInteger }),
      let output = graph.outputs.first
    else {
      throw FormatError(
        .unsupported, "only a text encoder has a pooled output", context: graph.name.rawValue)
    }
    let module = "/text_model/pooler"
    let ids = try value(input)
    let hidden = try value(output)
    let scores: Value
    switch endOfText {
    case .greatestID:
      // An integer type for which every runtime supports ArgMax.
      scores = cast(ids, to: .int32, at: module)
    case .id(let id):
      let matches = build.node(
        "Equal", at: module, [ids, build.constant(scalar: id)], ids.shape, element: .bool)
      scores = cast(matches, to: .int32, at: module)
    }
    let places = build.node(
      "ArgMax", at: module, [scores], [ids.shape[0], 1], element: .int64,
      ["axis": .integer(-1), "keepdims": .integer(1)])
    let named = Value(
      name: interface.name(graph[output].name), element: hidden.element, shape: hidden.shape)
    let pooled = build.node(
      "GatherND", at: module, [named, places], [hidden.shape[0], hidden.shape[2]],
      ["batch_dims": .integer(1)])
    build.output("pooler_output", pooled)
  }
}
