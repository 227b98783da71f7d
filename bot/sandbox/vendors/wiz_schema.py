"""The part of Wiz's GraphQL schema that the simulator serves; names as public collectors use them."""

SCHEMA = """
scalar JSON
scalar DateTime
enum DescriptionFormat { MARKDOWN PLAIN_TEXT }
enum OrderDirection { ASC DESC }
enum IssueOrderField { CREATED_AT SEVERITY }
enum FindingOrderField { FIRST_SEEN_AT ANALYZED_AT }
enum DetectionOrderField { CREATED_AT }
enum IssueStatus { OPEN IN_PROGRESS RESOLVED REJECTED }
enum IssueType { TOXIC_COMBINATION THREAT_DETECTION CLOUD_CONFIGURATION }
enum Severity { INFORMATIONAL LOW MEDIUM HIGH CRITICAL }
enum FindingSeverity { NONE LOW MEDIUM HIGH CRITICAL }
enum VulnerabilitySeverity { NONE LOW MEDIUM HIGH CRITICAL }
enum FindingResult { PASS FAIL ERROR NOT_ASSESSED }
enum ResolutionReason { OBJECT_DELETED ISSUE_FIXED CONTROL_CHANGED CONTROL_DISABLED CONTROL_DELETED FALSE_POSITIVE
  EXCEPTION WONT_FIX MALICIOUS_THREAT
  NOT_MALICIOUS_THREAT SECURITY_TEST_THREAT PLANNED_ACTION_THREAT INCONCLUSIVE_THREAT }
input DateFilter { after: DateTime before: DateTime }
input IssueFilters { id: [ID!] status: [IssueStatus!] severity: [Severity!] type: [IssueType!] createdAt: DateFilter
  statusChangedAt: DateFilter resolvedAt: DateFilter dueAt: DateFilter project: [String!] search: String }
input IssueOrder { field: IssueOrderField! direction: OrderDirection! }
input ConfigurationFindingFilters { id: [ID!] status: [IssueStatus!] severity: [FindingSeverity!]
  result: [FindingResult!] analyzedAt: DateFilter updatedAt: DateFilter project: [String!] }
input ConfigurationFindingOrder { field: FindingOrderField! direction: OrderDirection! }
input VulnerabilityFindingFilters { id: [ID!] status: [IssueStatus!] severity: [VulnerabilitySeverity!]
  hasExploit: Boolean firstSeenAt: DateFilter updatedAt: DateFilter project: [String!] }
input IdFilter { equals: [ID!] }
input DetectionSeverityFilter { equals: [Severity!] }
input DetectionFilters { id: IdFilter severity: DetectionSeverityFilter createdAt: DateFilter project: [String!] }
input DetectionOrder { field: DetectionOrderField! direction: OrderDirection! }
type PageInfo { hasNextPage: Boolean! endCursor: String }
type Framework { id: ID name: String }
type Category { id: ID name: String framework: Framework }
type SubCategory { id: ID title: String category: Category }
type RiskProfile { businessImpact: String }
type Project { id: ID! name: String slug: String businessUnit: String riskProfile: RiskProfile
  projectOwners: [User!] securityChampions: [User!] }
type Control { id: ID! name: String description: String resolutionRecommendation: String risks: [String!]
  securitySubCategories: [SubCategory!] }
type CloudEventRule { id: ID! name: String description: String! sourceType: String type: String risks: [String!]
  securitySubCategories: [SubCategory!] }
type CloudConfigurationRule { id: ID! name: String description: String remediationInstructions: String
  serviceType: String risks: [String!] securitySubCategories: [SubCategory!] }
union IssueSourceRule = Control | CloudEventRule | CloudConfigurationRule
type EntitySnapshot { id: ID! type: String nativeType: String name: String status: String cloudPlatform: String
  cloudProviderURL: String providerId: String externalId: String region: String resourceGroupExternalId: String
  subscriptionExternalId: String subscriptionName: String subscriptionTags: JSON tags: JSON }
type ServiceTicket { externalId: String name: String url: String }
type User { id: ID name: String email: String }
type ServiceAccount { name: String }
type IssueNote { id: ID! createdAt: DateTime updatedAt: DateTime text: String user: User
  serviceAccount: ServiceAccount }
type Issue { id: ID! type: IssueType status: IssueStatus severity: Severity createdAt: DateTime updatedAt: DateTime
  statusChangedAt: DateTime dueAt: DateTime resolvedAt: DateTime resolutionReason: ResolutionReason
  rejectionExpiredAt: DateTime sourceRule: IssueSourceRule sourceRules: [IssueSourceRule!] projects: [Project!]
  entitySnapshot: EntitySnapshot serviceTickets: [ServiceTicket!] notes: [IssueNote!] note: String }
type IssueConnection { nodes: [Issue!] pageInfo: PageInfo! totalCount: Int }
type Tag { key: String value: String }
type Subscription { id: ID name: String externalId: String cloudProvider: String }
type FindingResource { id: ID providerId: String name: String nativeType: String type: String region: String
  cloudPlatform: String subscription: Subscription projects: [Project!] tags: [Tag!] }
type FindingRule { id: ID shortId: String graphId: ID name: String description: String remediationInstructions: String
  functionAsControl: Boolean }
type IgnoreRule { id: ID name: String enabled: Boolean expiredAt: DateTime }
type ConfigurationFinding { id: ID! name: String targetExternalId: String targetObjectProviderUniqueId: String
  deleted: Boolean firstSeenAt: DateTime analyzedAt: DateTime updatedAt: DateTime severity: FindingSeverity
  result: FindingResult status: IssueStatus remediation: String resource: FindingResource rule: FindingRule
  securitySubCategories: [SubCategory!] ignoreRules: [IgnoreRule!] }
type ConfigurationFindingConnection { nodes: [ConfigurationFinding!] pageInfo: PageInfo! }
type InstanceGroup { id: ID externalId: String name: String replicaCount: Int tags: JSON }
interface VulnerableAssetBase { id: ID! type: String name: String region: String providerUniqueId: String
  cloudProviderURL: String cloudPlatform: String status: String subscriptionName: String subscriptionExternalId: String
  subscriptionId: String tags: JSON hasLimitedInternetExposure: Boolean hasWideInternetExposure: Boolean }
type VulnerableAssetVirtualMachine implements VulnerableAssetBase { id: ID! type: String name: String region: String
  providerUniqueId: String cloudProviderURL: String cloudPlatform: String status: String subscriptionName: String
  subscriptionExternalId: String subscriptionId: String tags: JSON hasLimitedInternetExposure: Boolean
  hasWideInternetExposure: Boolean operatingSystem: String ipAddresses: [String!] nativeType: String
  computeInstanceGroup: InstanceGroup }
type VulnerabilityFinding { id: ID! portalUrl: String name: String CVEDescription: String description: String
  detailedName: String version: String fixedVersion: String detectionMethod: String locationPath: String link: String
  remediation: String severity: VulnerabilitySeverity vendorSeverity: VulnerabilitySeverity
  CVSSSeverity: VulnerabilitySeverity score: Float cnaScore: Float hasExploit: Boolean hasCisaKevExploit: Boolean
  epssPercentile: Float epssProbability: Float validatedInRuntime: Boolean status: IssueStatus
  resolutionReason: ResolutionReason firstDetectedAt: DateTime lastDetectedAt: DateTime resolvedAt: DateTime
  projects: [Project!] ignoreRules: [IgnoreRule!] vulnerableAsset: VulnerableAssetBase }
type VulnerabilityFindingConnection { nodes: [VulnerabilityFinding!] pageInfo: PageInfo! }
type DetectionResource { id: ID name: String type: String externalId: String providerUniqueId: String region: String }
type DetectionActor { id: ID name: String type: String externalId: String providerUniqueId: String }
type CloudAccount { id: ID name: String externalId: String cloudProvider: String }
type DetectionIssue { id: ID }
type CloudEvent { id: ID description: String }
union TriggeringEvent = CloudEvent
type TriggeringEvents { totalCountV2: Int nodes: [TriggeringEvent!] }
type DetectionRule { id: ID name: String builtin: Boolean securitySubCategories: [SubCategory!] }
type RuleMatch { rule: DetectionRule }
type Detection { id: ID! type: String severity: Severity origins: [String!] createdAt: DateTime updatedAt: DateTime
  description(format: DescriptionFormat): String primaryResource: DetectionResource primaryActor: DetectionActor
  actors: [DetectionActor!] resources: [DetectionResource!] cloudAccounts: [CloudAccount!] issue: DetectionIssue
  triggeringEvents(first: Int): TriggeringEvents ruleMatch: RuleMatch }
type DetectionConnection { nodes: [Detection!] pageInfo: PageInfo! }
type Query {
  issuesV2(filterBy: IssueFilters, first: Int, after: String, orderBy: IssueOrder): IssueConnection
  issue(id: ID!): Issue
  configurationFindings(filterBy: ConfigurationFindingFilters, first: Int, after: String,
    orderBy: ConfigurationFindingOrder): ConfigurationFindingConnection
  vulnerabilityFindings(filterBy: VulnerabilityFindingFilters, first: Int,
    after: String): VulnerabilityFindingConnection
  detections(filterBy: DetectionFilters, first: Int, after: String, orderBy: DetectionOrder): DetectionConnection
}
input UpdateIssuePatch { status: IssueStatus dueAt: DateTime resolutionReason: ResolutionReason note: String
  resolutionNote: String }
input UpdateIssueInput { id: ID! patch: UpdateIssuePatch override: UpdateIssuePatch }
type UpdateIssuePayload { issue: Issue }
input CreateIssueNoteInput { issueId: ID! text: String! }
type CreateIssueNotePayload { issueNote: IssueNote }
type Mutation {
  updateIssue(input: UpdateIssueInput!): UpdateIssuePayload
  createIssueNote(input: CreateIssueNoteInput!): CreateIssueNotePayload
}
"""
