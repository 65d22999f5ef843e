import Checkpoint
import Foundation
import ModelGraph
import OrderedJSON
import TestSupport
import Testing

/// Whether each network's descriptor is complete and agrees with its graphs and the documentation.
@Suite struct NetworkRegistryTests {
  @Test func namesAreUnique() {
    let all = NetworkDescriptor.all
    #expect(Set(all.map(\.className)).count == all.count)
    #expect(Set(all.map(\.component)).count == all.count)
    #expect(Set(all.map(\.title)).count == all.count)
    let graphs = all.flatMap(\.graphNames)
    #expect(Set(graphs).count == graphs.count)
    let places = all.flatMap(\.places).map(\.prefix)
    #expect(Set(places).count == places.count)
  }

  @Test(arguments: NetworkDescriptor.all)
  func entriesAreComplete(_ network: NetworkDescriptor) throws {
    #expect(NetworkDescriptor(className: network.className) == network)
    #expect(NetworkDescriptor(component: network.component) == network)
    #expect(network.component.title == network.title && network.component.isValid)
    #expect(!network.marks.isEmpty && network.marks.allSatisfy { !$0.isEmpty })
    #expect(network.namings.contains(.published))
    for name in network.graphNames { #expect(NetworkDescriptor(graph: name) == network) }
    // The marks of every naming lead to this network, and to no other.
    for mark in network.marks {
      #expect(NetworkDescriptor.recognized(Set(mark).contains) == network, "\(mark)")
    }
    // What single files that are written hold is found in them again.
    if let prefix = network.writtenPrefix?.beside {
      #expect(network.places.contains { $0.mark.isEmpty && prefix.hasPrefix($0.prefix) })
      #expect(network.namings.contains(Naming(.singleFile, prefix: prefix)))
    }
    let usual: JSONObject = network == .safetyChecker ? ["vision_config": [:]] : [:]
    let known = SpelledNetwork.all.first { $0.architecture == network }?.configuration
    let graphs = try network.graphs(known ?? usual)
    #expect(Set(graphs.map(\.name)) == Set(network.graphNames))
  }

  @Test func documentation() throws {
    let page = try String(
      contentsOfFile: Fixtures.root + "/docs/contributing/networks.md", encoding: .utf8)
    let lines = page.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let header = try #require(lines.firstIndex { $0.hasPrefix("| class | component |") })
    let rows = Array(lines[(header + 2)...].prefix { $0.hasPrefix("|") })
    let expected = NetworkDescriptor.all.map { network in
      let graphs = network.graphNames.map { "`\($0)`" }.joined(separator: ", ")
      return "| `\(network.className)` | `\(network.component)` | \(graphs) |"
    }
    #expect(
      rows == expected,
      "replace the rows of the table by:\n\(expected.joined(separator: "\n"))")
  }
}
