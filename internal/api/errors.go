package api

import (
	"strconv"
	"strings"

	"trellis/internal/shape"
)

// serviceCode is what quota and throttling errors name as the service.
const serviceCode = "vpc-lattice"

// AuthenticationError refuses a request before it reaches an operation. Its codes are those that AWS services
// share, such as MissingAuthenticationTokenException, InvalidSignatureException, UnrecognizedClientException;
// the API's model has no shapes for them.
type AuthenticationError struct {
	Code    string
	Message string
	// Status is the HTTP status code; 0 means 403.
	Status int
}

// Error returns the code and the message.
func (e *AuthenticationError) Error() string { return e.Code + ": " + e.Message }

// NotImplementedError says that an operation of the API is not built. A-100.
type NotImplementedError struct{ Operation string }

// Error returns the message that the caller is shown.
func (e *NotImplementedError) Error() string {
	return "Trellis does not implement the operation " + e.Operation + "."
}

// NotImplemented is the error of an operation that is not built.
func NotImplemented(operation string) error { return &NotImplementedError{Operation: operation} }

// UnknownOperationError says that no operation has this method and path. A-101.
type UnknownOperationError struct{ Method, Path string }

// Error returns the message that the caller is shown.
func (e *UnknownOperationError) Error() string {
	return "There is no operation " + e.Method + " " + e.Path + "."
}

// Invalid is a ValidationException that names one wrong field by its path, such as "config.healthCheck.path".
func Invalid(field, message string) *shape.ValidationException {
	return invalidFields([]shape.ValidationExceptionField{{Name: &field, Message: &message}})
}

// Rejected is a ValidationException for a business rule that no single field breaks.
func Rejected(message string) *shape.ValidationException {
	return &shape.ValidationException{Message: &message, Reason: shape.ValidationExceptionReasonOther}
}

// NotFound is a ResourceNotFoundException. resourceType is upper snake case: SERVICE_NETWORK.
func NotFound(resourceType, resourceID string) *shape.ResourceNotFoundException {
	message := resourceType + " " + resourceID + " does not exist."
	return &shape.ResourceNotFoundException{Message: &message, ResourceType: &resourceType, ResourceId: &resourceID}
}

// Conflict is a ConflictException about a resource.
func Conflict(resourceType, resourceID, message string) *shape.ConflictException {
	return &shape.ConflictException{Message: &message, ResourceType: &resourceType, ResourceId: &resourceID}
}

// QuotaExceeded is a ServiceQuotaExceededException. resourceID may be empty, for a quota per account.
func QuotaExceeded(resourceType, resourceID, quotaCode, message string) *shape.ServiceQuotaExceededException {
	e := &shape.ServiceQuotaExceededException{
		Message: &message, ResourceType: &resourceType, QuotaCode: &quotaCode, ServiceCode: new(serviceCode),
	}
	if resourceID != "" {
		e.ResourceId = &resourceID
	}
	return e
}

// AccessDenied is an AccessDeniedException.
func AccessDenied(message string) *shape.AccessDeniedException {
	return &shape.AccessDeniedException{Message: &message}
}

// Throttled is a ThrottlingException that asks the client to wait. With 0 seconds it does not say how long.
func Throttled(retryAfterSeconds int32, message string) *shape.ThrottlingException {
	e := &shape.ThrottlingException{Message: &message, ServiceCode: new(serviceCode)}
	if retryAfterSeconds > 0 {
		e.RetryAfterSeconds = &retryAfterSeconds
	}
	return e
}

// summary is the message of a ValidationException: that of the one wrong field, or all of them, counted.
func summary(fields []shape.ValidationExceptionField) *string {
	if len(fields) == 1 {
		return fields[0].Message
	}
	var b strings.Builder
	b.WriteString(strconv.Itoa(len(fields)))
	b.WriteString(" validation errors detected: ")
	for i, f := range fields {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(*f.Name + ": " + *f.Message)
	}
	return new(b.String())
}

// invalidFields is a ValidationException that names every wrong field. There must be at least one.
func invalidFields(fields []shape.ValidationExceptionField) *shape.ValidationException {
	return &shape.ValidationException{
		Message: summary(fields), Reason: shape.ValidationExceptionReasonFieldValidationFailed, FieldList: fields,
	}
}
