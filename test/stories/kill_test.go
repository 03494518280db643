package stories_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice"
	"github.com/aws/aws-sdk-go-v2/service/vpclattice/types"
	"github.com/aws/smithy-go"

	"trellis/test/trellistest"
)

// soakFactor is how many times longer than in `make test` the soak tests run: `make soak` sets it.
func soakFactor(t *testing.T) int {
	t.Helper()
	text, ok := os.LookupEnv("TRELLIS_SOAK")
	if !ok {
		return 1
	}
	factor, err := strconv.Atoi(text)
	if err != nil || factor < 1 {
		t.Fatalf("TRELLIS_SOAK is %q; it must be a whole number from 1", text)
	}
	return factor
}

// The kill test's size.
const (
	killRounds     = 4
	killWriters    = 6
	groupsOfWriter = 4
)

// TestKillsDuringWritesLoseNothingAndLeaveNothingHalfDone kills the program in the middle of writes, again and again,
// starts it again each time, and compares what is stored with what was acknowledged.
func TestKillsDuringWritesLoseNothingAndLeaveNothingHalfDone(t *testing.T) {
	t.Parallel()
	program := trellistest.BuildFast(t)
	dir := t.TempDir()
	start := func() (*trellistest.Process, *vpclattice.Client) {
		p := trellistest.Start(t, program, "serve", "--data-dir", dir)
		return p, client(t, p.API, filepath.Join(dir, "credentials"))
	}
	writers := make([]*writer, killWriters)
	p, c := start()
	for i := range writers {
		writers[i] = newWriter(t, c, i)
	}
	acknowledged := 0
	rounds := killRounds * soakFactor(t)
	for round := range rounds {
		var running sync.WaitGroup
		for _, w := range writers {
			running.Go(func() { w.writeUntilKilled(t, c) })
		}
		time.Sleep(time.Duration(50+rand.IntN(250)) * time.Millisecond) // Sleeps: when the kill comes, wherever that meets the writers.
		p.Kill()
		running.Wait()
		p, c = start()
		groups := listGroups(t, c)
		for _, w := range writers {
			w.check(t, c, groups)
			acknowledged += w.acknowledged
			w.acknowledged = 0
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	t.Logf("%d rounds, %d acknowledged writes", rounds, acknowledged)
}

// writer owns some target groups and a service, which only it changes, and remembers the responses.
type writer struct {
	name         string
	groups       map[string]*expectation
	service      string
	rules        [2]string
	acknowledged int
}

// expectation is what is known about a target group: the generation in its tag, or 0 if it does not exist. A call without a
// response leaves two possibilities.
type expectation struct {
	known, possible int
	arn             string
}

func newWriter(t *testing.T, c *vpclattice.Client, number int) *writer {
	t.Helper()
	w := &writer{name: fmt.Sprintf("writer-%d", number), groups: map[string]*expectation{}}
	for i := range groupsOfWriter {
		w.groups[fmt.Sprintf("%s-%d", w.name, i)] = &expectation{}
	}
	service := must(c.CreateService(t.Context(), &vpclattice.CreateServiceInput{Name: &w.name}))(t)
	w.service = *service.Id
	listener := must(c.CreateListener(t.Context(), &vpclattice.CreateListenerInput{
		ServiceIdentifier: service.Id, Name: aws.String("steady"), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(80), DefaultAction: fixed(404),
	}))(t)
	for i := range w.rules {
		rule := must(c.CreateRule(t.Context(), &vpclattice.CreateRuleInput{
			ServiceIdentifier: service.Id, ListenerIdentifier: listener.Id, Name: aws.String(fmt.Sprintf("swapped-%d", i)), Priority: aws.Int32(int32(i + 1)),
			Action: fixed(500), Match: pathPrefix("/"),
		}))(t)
		w.rules[i] = *rule.Id
	}
	return w
}

func fixed(status int32) types.RuleAction {
	return &types.RuleActionMemberFixedResponse{Value: types.FixedResponseAction{StatusCode: aws.Int32(status)}}
}

func pathPrefix(prefix string) types.RuleMatch {
	return &types.RuleMatchMemberHttpMatch{Value: types.HttpMatch{PathMatch: &types.PathMatch{Match: &types.PathMatchTypeMemberPrefix{Value: prefix}}}}
}

// writeUntilKilled writes until a call is not answered.
func (w *writer) writeUntilKilled(t *testing.T, c *vpclattice.Client) {
	for generation := 1; ; generation++ {
		var err error
		switch rand.IntN(4) {
		case 0:
			err = w.swapRules(t, c, generation)
		case 1:
			err = w.replaceListener(t, c)
		default:
			err = w.writeGroup(t, c)
		}
		if apiError := smithy.APIError(nil); errors.As(err, &apiError) {
			t.Errorf("%s: %v", w.name, err)
			return
		}
		if err != nil {
			return
		}
		w.acknowledged++
	}
}

// writeGroup creates, tags or deletes one of the writer's target groups.
func (w *writer) writeGroup(t *testing.T, c *vpclattice.Client) error {
	for name, e := range w.groups { // Go's maps have a random order
		if e.known == 0 {
			e.possible = 1
			out, err := c.CreateTargetGroup(t.Context(), &vpclattice.CreateTargetGroupInput{
				Name: &name, Type: types.TargetGroupTypeLambda, Tags: map[string]string{"generation": "1"},
			})
			if err != nil {
				return err
			}
			e.known, e.arn = 1, *out.Arn
			return nil
		}
		if rand.IntN(2) == 0 {
			e.possible = 0
			if _, err := c.DeleteTargetGroup(t.Context(), &vpclattice.DeleteTargetGroupInput{TargetGroupIdentifier: &e.arn}); err != nil {
				return err
			}
			e.known = 0
			return nil
		}
		e.possible = e.known + 1
		if _, err := c.TagResource(t.Context(), &vpclattice.TagResourceInput{ResourceArn: &e.arn, Tags: map[string]string{"generation": strconv.Itoa(e.possible)}}); err != nil {
			return err
		}
		e.known = e.possible
		return nil
	}
	return nil
}

// swapRules gives the two rules of the steady listener each other's priorities.
func (w *writer) swapRules(t *testing.T, c *vpclattice.Client, generation int) error {
	listener, err := w.listener(t, c, "steady")
	if err != nil || listener == "" {
		return err
	}
	first, second := int32(1+generation%2), int32(2-generation%2)
	_, err = c.BatchUpdateRule(t.Context(), &vpclattice.BatchUpdateRuleInput{
		ServiceIdentifier: &w.service, ListenerIdentifier: &listener,
		Rules: []types.RuleUpdate{
			{RuleIdentifier: &w.rules[0], Priority: &first},
			{RuleIdentifier: &w.rules[1], Priority: &second},
		},
	})
	return err
}

// replaceListener deletes the writer's second listener with its rules, or creates it with its default rule.
func (w *writer) replaceListener(t *testing.T, c *vpclattice.Client) error {
	listener, err := w.listener(t, c, "replaced")
	if err != nil {
		return err
	}
	if listener != "" {
		_, err = c.DeleteListener(t.Context(), &vpclattice.DeleteListenerInput{ServiceIdentifier: &w.service, ListenerIdentifier: &listener})
		return err
	}
	_, err = c.CreateListener(t.Context(), &vpclattice.CreateListenerInput{
		ServiceIdentifier: &w.service, Name: aws.String("replaced"), Protocol: types.ListenerProtocolHttp, Port: aws.Int32(81), DefaultAction: fixed(404),
	})
	return err
}

// listener returns the id of the writer's listener of a name, or "".
func (w *writer) listener(t *testing.T, c *vpclattice.Client, name string) (string, error) {
	out, err := c.ListListeners(t.Context(), &vpclattice.ListListenersInput{ServiceIdentifier: &w.service})
	if err != nil {
		return "", err
	}
	for _, l := range out.Items {
		if *l.Name == name {
			return *l.Id, nil
		}
	}
	return "", nil
}

// listGroups returns all target groups by name.
func listGroups(t *testing.T, c *vpclattice.Client) map[string]types.TargetGroupSummary {
	t.Helper()
	groups := map[string]types.TargetGroupSummary{}
	for pages := vpclattice.NewListTargetGroupsPaginator(c, &vpclattice.ListTargetGroupsInput{MaxResults: aws.Int32(7)}); pages.HasMorePages(); {
		for _, group := range must(pages.NextPage(t.Context()))(t).Items {
			if _, twice := groups[*group.Name]; twice {
				t.Errorf("two target groups are called %s", *group.Name)
			}
			groups[*group.Name] = group
		}
	}
	return groups
}

// check compares what is stored with the responses that the writer got, and takes what is stored as known from then on.
func (w *writer) check(t *testing.T, c *vpclattice.Client, groups map[string]types.TargetGroupSummary) {
	t.Helper()
	for name, e := range w.groups {
		found := 0
		if group, ok := groups[name]; ok {
			tags := must(c.ListTagsForResource(t.Context(), &vpclattice.ListTagsForResourceInput{ResourceArn: group.Arn}))(t)
			found, _ = strconv.Atoi(tags.Tags["generation"])
			e.arn = *group.Arn
		}
		if found != e.known && found != e.possible {
			t.Errorf("%s is in generation %d; acknowledged was %d, under way %d", name, found, e.known, e.possible)
		}
		e.known, e.possible = found, found
	}
	listeners := must(c.ListListeners(t.Context(), &vpclattice.ListListenersInput{ServiceIdentifier: &w.service}))(t)
	for _, l := range listeners.Items {
		rules := must(c.ListRules(t.Context(), &vpclattice.ListRulesInput{ServiceIdentifier: &w.service, ListenerIdentifier: l.Id}))(t)
		priorities := map[int32]bool{}
		defaults := 0
		for _, r := range rules.Items {
			priorities[*r.Priority] = true
			if *r.IsDefault {
				defaults++
			}
		}
		if defaults != 1 {
			t.Errorf("listener %s of %s has %d default rules", *l.Name, w.name, defaults)
		}
		if *l.Name == "steady" && (len(rules.Items) != 3 || !priorities[1] || !priorities[2]) {
			t.Errorf("the rules of %s have the priorities %v", w.name, priorities)
		}
	}
}
