import ModelFormats
import ModelGraph

/// How the text encoder finds the end of each prompt.
///
/// Source: transformers' `CLIPTextModel`: configurations of before 2023 give the end token's id as
/// 2, which no vocabulary has; for them it is the greatest id.
enum EndOfText: Sendable, Hashable {
  case greatestID
  /// The first place of this id.
  case id(Int)
}

extension Lowering {
  /// Adds the output `pooler_output [batch, channels]`: the last hidden state of each prompt's end.
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
      // Integers that every runtime can take the greatest of.
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
