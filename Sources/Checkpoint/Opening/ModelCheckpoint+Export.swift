import ModelFormats
import ModelGraph
import OrderedJSON

extension ModelCheckpoint {
  /// The complete component that has the graph of this name, whatever the component is called: in a
  /// repository, the VAE may be a tiny autoencoder.
  ///
  /// - Throws: ``FormatError`` as ``require(_:)``, or `unsupported` for a ControlNet that is stored
  ///   as differences.
  public func component(with graph: GraphName) throws(FormatError) -> Component {
    let usual =
      NetworkDescriptor(graph: graph)?.component ?? ComponentName(rawValue: graph.rawValue)
    let holders = components.filter { component in
      component.name.averaged == nil && component.graphs.contains { $0.name == graph }
    }
    let name = holders.contains { $0.name == usual } ? usual : holders.first?.name ?? usual
    let component = try require(name)
    if component.network == .controlNet { try refuseControlNetDifference() }
    return component
  }

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
      let buffers = Set((component.manifest?.buffers ?? []).map { ExactName($0.name) })
      return component.tensors.compactMap { tensor in
        let name = ExactName(tensor.name)
        let parameters = component.pieces(of: tensor).compactMap(\.parameter)
        if parameters.contains(where: { used.contains($0.name) }) { return nil }
        // Of another graph of the component, or of a component without exported graphs.
        let isOfOther =
          !parameters.isEmpty && !PositionIDs.isName(tensor.name)
          && !(isExported && buffers.contains(name))
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
          } else if isExported, buffers.contains(name) {
            "no layer of the network reads it"
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
