import ModelFormats
import ModelGraph
import OrderedJSON

extension ModelCheckpoint {
  /// The tensors that an export of some networks' graphs drops.
  ///
  /// - Parameters:
  ///   - graphs: the names of the graphs that are exported.
  ///   - isChoice: whether they were asked for; then nothing is said of other networks.
  public func tensors(outside graphs: [GraphName], isChoice: Bool) -> [Conversion.Drop] {
    components.flatMap { component -> [Conversion.Drop] in
      let exported = component.graphs.filter { graphs.contains($0.name) }
      let isExported = !exported.isEmpty && component.name.averaged == nil
      if isChoice, !isExported { return [] }
      let used = Set(isExported ? exported.flatMap(\.parameters).map(\.name) : [])
      let doubled = Set((component.manifest?.duplicates ?? []).map { ExactName($0.tensor.name) })
      let unused = Set((component.manifest?.unused ?? []).map { ExactName($0.name) })
      return component.tensors.compactMap { tensor in
        let name = ExactName(tensor.name)
        let parameters = component.pieces(of: tensor).compactMap(\.parameter)
        if parameters.contains(where: { used.contains($0.name) }) { return nil }
        let isOfOther = !parameters.isEmpty && !PositionIDs.isName(tensor.name)
        if isChoice, isOfOther { return nil }
        let kind = Leftover.kind(of: tensor.name)
        let reason =
          if component.name.averaged != nil {
            Leftover.Kind.averages.rawValue
          } else if doubled.contains(name) {
            Leftover.Kind.duplicates.rawValue
          } else if unused.contains(name) {
            Leftover.unusedKind(of: tensor.name).rawValue
          } else if component.scales.isPart(tensor.name) {
            "\(Leftover.Kind.weightScales.rawValue), which are multiplied in"
          } else if kind != .unknown {
            kind.rawValue
          } else if isOfOther || component.isUnknownNetwork {
            "its network is not exported"
          } else {
            "it belongs to no network"
          }
        return Conversion.Drop(component: component.name, name: tensor.name, reason: reason)
      }
    }
  }
}
