package api

import (
	"math"
	"net/http"
	"strings"
	"time"

	"trellis/internal/excerpt"
	"trellis/internal/shape"
)

// serviceCode is what quota and throttling errors name as the service.
const serviceCode = "vpc-lattice"

// wireError is an error that the client sees as it is: an exception of package shape, or one of the errors below, for which
// the API's model has no shape. Its JSON form is the body of the response.
type wireError interface {
	error
	// ErrorCode is the value of the header x-amzn-ErrorType.
	ErrorCode() string
	// HTTPStatus is the status code of the response.
	HTTPStatus() int
}

// AuthenticationError refuses a request before it reaches an operation. Its codes are those that AWS services
// share, such as MissingAuthenticationTokenException, InvalidSignatureException, UnrecognizedClientException.
type AuthenticationError struct {
	Code    string `json:"-"`
	Message string `json:"message"`
	// Status is the HTTP status code; 0 means 403.
	Status int `json:"-"`
}

// Error returns the code and the message's first line. The rest is for the client alone: it may show the headers that the
// client signed, among them a session token, which must not be logged.
func (e *AuthenticationError) Error() string {
	line, _, _ := strings.Cut(e.Message, "\n")
	return e.Code + ": " + line
}

// ErrorCode returns the code.
func (e *AuthenticationError) ErrorCode() string { return e.Code }

// HTTPStatus returns the status code, 403 unless another is set.
func (e *AuthenticationError) HTTPStatus() int {
	if e.Status == 0 {
		return http.StatusForbidden
	}
	return e.Status
}

// unknownOperationError says that no operation has this method and path. A-101.
type unknownOperationError struct {
	Message string `json:"message"`
}

func unknownOperation(method, path string) error {
	return &unknownOperationError{"No operation of the API is " + excerpt.Of(method, excerpt.Shown) + " " + excerpt.Of(path, excerpt.Shown) + "."}
}

func (e *unknownOperationError) Error() string     { return e.ErrorCode() + ": " + e.Message }
func (e *unknownOperationError) ErrorCode() string { return "UnknownOperationException" }
func (e *unknownOperationError) HTTPStatus() int   { return http.StatusNotFound }

// Invalid is a ValidationException that names one wrong field by its path, such as "config.healthCheck.path".
func Invalid(field, message string) *shape.ValidationException {
	return &shape.ValidationException{
		Message:   &message,
		Reason:    shape.ValidationExceptionReasonFieldValidationFailed,
		FieldList: []shape.ValidationExceptionField{{Name: &field, Message: &message}},
	}
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

// ThrottledFor is a ThrottlingException that asks the client to wait that long, in whole seconds, for an hour at most.
func ThrottledFor(wait time.Duration, message string) *shape.ThrottlingException {
	return Throttled(int32(math.Ceil(min(wait, time.Hour).Seconds())), message)
}

// Unavailable is an InternalServerException that says why changes cannot be stored, and asks the client to wait.
func Unavailable(retryAfterSeconds int32, message string) *shape.InternalServerException {
	return &shape.InternalServerException{Message: &message, RetryAfterSeconds: &retryAfterSeconds}
}

// unparsable is a ValidationException for a request that cannot be read at all.
func unparsable(message string) *shape.ValidationException {
	return &shape.ValidationException{Message: &message, Reason: shape.ValidationExceptionReasonCannotParse}
}
